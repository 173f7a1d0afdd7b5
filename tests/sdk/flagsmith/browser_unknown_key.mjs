// flagsmith in a page with a key that Burgee does not take, without flags to fall back on and with some.

import { asked, open } from "./browser.mjs";
import { end, told } from "./scenario.mjs";

const seen = [];
for (const environmentID of told.wrongKeys) {
  const errors = [];
  const onError = ({ message }) => errors.push(message);
  const { flagsmith, ready } = open({ environmentID, onError, defaultFlags: { text: { enabled: true, value: "default" } } });
  const failed = await ready.then(
    () => "no error",
    (error) => error.message,
  );
  seen.push({ failed, errors, text: [flagsmith.hasFeature("text"), flagsmith.getValue("text")] });
}
end({ seen, asked });
