// The official command line, or the compiler of the types that it writes, as people run them in a folder.

import { spawnSync } from "node:child_process";
import { createRequire } from "node:module";

import { end, told } from "./scenario.mjs";

const program = createRequire(import.meta.url).resolve(told.program);
const { status, stdout, stderr } = spawnSync(process.execPath, [program, ...told.arguments], {
  cwd: told.folder,
  // Where it looks for a newer version of itself there is nothing.
  env: { PATH: process.env.PATH, HOME: told.folder, NO_COLOR: "1", npm_config_registry: "http://127.0.0.1:9/" },
  encoding: "utf8",
  timeout: 60_000,
});
end({ status, stdout, stderr });
