//! Answers of `flags/` and `identities/`, put together from pieces that were made when the program
//! was published (flagsmith.md sections 3, 12).
//!
//! Whatever a feature can come to is spelled out beforehand, so a request copies one piece of text
//! for each feature, and neighbours that lie behind each other as one.

use bytes::Bytes;

use super::mapping::Identity;
use crate::evaluate::flagsmith::{
    Evaluation, EvaluationContext, FeatureSet, OutcomeIndex, Program, evaluate,
};
use crate::json::{plain_len, write_string};
use crate::model::KeyClass;

/// The pieces of one environment's answers.
#[derive(Debug)]
pub struct Answers {
    /// `,{"feature":...}` with its variant, for identities: one per outcome. Those that an identity
    /// gets whom nothing overrides come first, in the features' order: most of what anybody gets
    /// lies in one run.
    text: String,
    /// By class of keys and outcome: from where to where in the text. Nothing where the class does
    /// not see the feature when it comes to that.
    pieces: [Vec<(u32, u32)>; 2],
    /// By feature: where its piece lies that comes first.
    usual: Vec<(u32, u32)>,
    /// By class of keys: the features that it does not see when they come to that.
    hidden: [FeatureSet; 2],
    /// By feature: what it comes to for nobody in particular.
    defaults: Vec<OutcomeIndex>,
    /// Length of the longest list of flags.
    longest: usize,
}

impl Answers {
    /// Prepares the answers of a compiled environment.
    pub fn prepare(program: &Program) -> Self {
        let mut context = EvaluationContext::new();
        context.reset(program);
        let defaults = evaluate(program, &mut context).outcomes().to_vec();
        let mut text = String::new();
        let mut pieces = vec![(0, 0); program.outcomes.len()];
        let others = program.outcomes().map(|(index, _)| index);
        for index in program.default_outcomes(true).iter().copied().chain(others) {
            let place = &mut pieces[index.0 as usize];
            if place.1 == 0 {
                let start = text.len() as u32;
                text.push(',');
                write_flag(program, index, true, &mut text);
                *place = (start, text.len() as u32);
            }
        }
        text.shrink_to_fit();
        let mut longest = vec![0; program.features.len()];
        for (index, outcome) in program.outcomes() {
            let (start, end) = pieces[index.0 as usize];
            let longest = &mut longest[outcome.feature.0 as usize];
            *longest = (end - start).max(*longest);
        }
        let longest = longest.into_iter().map(|length| length as usize).sum();
        let usual = program.default_outcomes(true);
        let hidden = [KeyClass::Publishable, KeyClass::Secret].map(|class| {
            FeatureSet::of(usual.len(), |feature| {
                let outcome = program.outcome(usual[feature.0 as usize]);
                !program.is_visible(outcome, class)
            })
        });
        let usual = usual.iter().map(|index| pieces[index.0 as usize]).collect();
        let visible = |class| {
            let piece = |(&piece, outcome)| {
                if program.is_visible(outcome, class) { piece } else { (0, 0) }
            };
            pieces.iter().zip(&program.outcomes).map(piece).collect()
        };
        let pieces = [visible(KeyClass::Publishable), visible(KeyClass::Secret)];
        Self { text, pieces, usual, hidden, defaults, longest }
    }

    /// The body of `flags/` for a class of keys.
    pub fn flags(&self, program: &Program, class: KeyClass) -> Bytes {
        let mut body = String::from("[");
        let visible = |index: &&OutcomeIndex| program.is_visible(program.outcome(**index), class);
        for &index in self.defaults.iter().filter(visible) {
            if body.len() > 1 {
                body.push(',');
            }
            write_flag(program, index, false, &mut body);
        }
        body.push(']');
        Bytes::from(body)
    }

    /// The bodies of `flags/?feature=`, in the features' order.
    pub fn each_flag<'a>(&'a self, program: &'a Program) -> impl Iterator<Item = Bytes> + 'a {
        self.defaults.iter().map(|&index| {
            let mut body = String::new();
            write_flag(program, index, false, &mut body);
            Bytes::from(body)
        })
    }

    /// Which features a class may see, when they are nobody's in particular.
    pub fn visible(&self, program: &Program, class: KeyClass) -> Box<[bool]> {
        let visible = |&index: &OutcomeIndex| program.is_visible(program.outcome(index), class);
        self.defaults.iter().map(visible).collect()
    }

    /// Room for the flags of an identity.
    pub fn longest(&self) -> usize {
        self.longest
    }

    /// Writes the answer for an identity. With `hide_traits` they are not told again.
    pub fn write_identity(
        &self,
        class: KeyClass,
        evaluation: &Evaluation<'_>,
        identifier: &str,
        identity: &Identity<'_>,
        hide_traits: bool,
        body: &mut Vec<u8>,
    ) {
        write_identity_head(identifier, identity, hide_traits, body);
        self.write_flags(class, evaluation, body);
        body.push(b'}');
    }

    fn write_flags(&self, class: KeyClass, evaluation: &Evaluation<'_>, body: &mut Vec<u8>) {
        let open = body.len();
        let text = self.text.as_bytes();
        let class = match class {
            KeyClass::Publishable => 0,
            KeyClass::Secret => 1,
        };
        let (outcomes, pieces) = (evaluation.outcomes(), &self.pieces[class]);
        // How far what most identities get is written, or left out.
        let mut written = 0;
        for feature in evaluation.changed().union(&self.hidden[class]) {
            let (start, end) = self.usual[feature.0 as usize];
            let piece = pieces[outcomes[feature.0 as usize].0 as usize];
            if (start, end) == piece {
                continue;
            }
            if written < start {
                body.extend_from_slice(&text[written as usize..start as usize]);
            }
            if piece.0 < piece.1 {
                body.extend_from_slice(&text[piece.0 as usize..piece.1 as usize]);
            }
            written = end;
        }
        let end = self.usual.last().map_or(0, |(_, end)| *end);
        body.extend_from_slice(&text[written as usize..end as usize]);
        // Each flag starts with a comma; the first one's is the bracket.
        match body.get_mut(open) {
            Some(comma) => *comma = b'[',
            None => body.push(b'['),
        }
        body.push(b']');
    }
}

/// Writes everything of an answer for an identity that stands before the flags.
pub(super) fn write_identity_head(
    identifier: &str,
    identity: &Identity<'_>,
    hide_traits: bool,
    body: &mut Vec<u8>,
) {
    body.extend_from_slice(b"{\"identifier\":");
    write_json(identifier, body);
    body.extend_from_slice(b",\"traits\":[");
    if let (false, Some(traits)) = (hide_traits, identity.verbatim) {
        body.extend_from_slice(traits.as_bytes());
    } else if !hide_traits {
        for (at, sent) in identity.traits.iter().enumerate() {
            body.extend_from_slice(if at == 0 { b"{" } else { b",{" });
            body.extend_from_slice(b"\"trait_key\":");
            write_json(&sent.key, body);
            body.extend_from_slice(b",\"trait_value\":");
            body.extend_from_slice(sent.value.as_bytes());
            body.push(b'}');
        }
    }
    body.extend_from_slice(b"],\"flags\":");
}

fn write_flag(program: &Program, index: OutcomeIndex, with_variant: bool, out: &mut String) {
    let outcome = program.outcome(index);
    let feature = program.feature(outcome.feature);
    out.push_str("{\"feature\":{\"id\":");
    out.push_str(&feature.id.to_string());
    out.push_str(",\"name\":");
    write_string(&feature.name, out);
    out.push_str(",\"type\":");
    write_string(&feature.kind, out);
    out.push_str("},\"enabled\":");
    out.push_str(if outcome.enabled { "true" } else { "false" });
    out.push_str(",\"feature_state_value\":");
    out.push_str(outcome.value.get());
    if with_variant {
        out.push_str(",\"variant\":");
        match &outcome.variant {
            Some(variant) => write_string(variant, out),
            None => out.push_str("null"),
        }
    }
    out.push('}');
}

/// Appends `text` as a JSON string. Most texts need no escape.
fn write_json(text: &str, out: &mut Vec<u8>) {
    if plain_len(text.as_bytes()) == text.len() {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    } else {
        let mut escaped = String::with_capacity(text.len() + 16);
        write_string(text, &mut escaped);
        out.extend_from_slice(escaped.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::compile::flagsmith::{Policy, compile};
    use crate::dialect::flagsmith::{document, mapping};

    fn program(server_key_only: &Value) -> Program {
        let state = |name: &str, id: i64, variants: Value| {
            json!({
                "feature": {"id": id, "name": name, "type": "STANDARD"}, "enabled": true,
                "django_id": id, "feature_state_value": name,
                "multivariate_feature_state_values": variants,
            })
        };
        let split = json!([{"id": 1, "percentage_allocation": 50.0,
                            "multivariate_feature_option": {"value": "other"}}]);
        let pro = json!({"operator": "EQUAL", "property_": "plan", "value": "pro"});
        let document = json!({
            "api_key": "key",
            "feature_states": [state("a", 1, json!([])), state("b", 2, split), state("c", 3, json!([]))],
            "identity_overrides": [
                {"identifier": "known", "identity_features": [state("c", 3, json!([]))]},
            ],
            "project": {
                "server_key_only_feature_ids": server_key_only,
                "segments": [{
                    "id": 1, "name": "s", "rules": [{"type": "ALL", "conditions": [pro]}],
                    "feature_states": [
                        {"feature": {"id": 3, "name": "c"}, "enabled": false, "django_id": 9},
                    ],
                }],
            },
        });
        let document = bytes::Bytes::from(document.to_string());
        compile(&document::read(&document).unwrap(), &Policy::default()).program
    }

    fn body(program: &Program, class: KeyClass, request: &str, into: &mut Kept) -> Vec<u8> {
        let answers = into.answers.get_or_insert_with(|| Answers::prepare(program));
        let identity = mapping::read_identity(request.as_bytes(), None).unwrap();
        let identifier = identity.identifier.as_deref().unwrap();
        into.context.reset(program);
        into.context.set_identity(program, identifier);
        for sent in &identity.traits {
            into.context.set_trait(program, &sent.key, sent.scalar(&mut into.text));
        }
        let evaluation = evaluate(program, &mut into.context);
        let mut body = Vec::with_capacity(answers.longest() + 2 * request.len() + 256);
        answers.write_identity(class, &evaluation, identifier, &identity, false, &mut body);
        body
    }

    #[derive(Default)]
    struct Kept {
        answers: Option<Answers>,
        context: EvaluationContext,
        text: String,
    }

    const PRO: &str =
        r#"{"identifier":"known-not","traits":[{"trait_key":"plan","trait_value":"pro"}]}"#;

    #[test]
    fn from_request_to_answer_the_body_alone_is_allocated() {
        let program = program(&json!([]));
        let mut kept = Kept::default();
        let first = body(&program, KeyClass::Publishable, PRO, &mut kept);
        let counted = allocation_counter::measure(|| {
            assert_eq!(body(&program, KeyClass::Publishable, PRO, &mut kept), first);
        });
        assert_eq!(counted.count_total, 1);
    }

    #[test]
    fn hidden_features_are_left_out_wherever_they_stand() {
        for (hidden, expected) in [
            (json!([]), vec!["a", "b", "c"]),
            (json!([1]), vec!["b", "c"]),
            (json!([2]), vec!["a", "c"]),
            (json!([3]), vec!["a", "b"]),
            (json!([1, 2, 3]), vec![]),
        ] {
            let program = program(&hidden);
            let mut kept = Kept::default();
            for request in [PRO, r#"{"identifier":"known"}"#, r#"{"identifier":"x"}"#] {
                let names = |class, kept: &mut Kept| -> Vec<String> {
                    let body = body(&program, class, request, kept);
                    let body: Value = serde_json::from_slice(&body).unwrap();
                    let flags = body["flags"].as_array().unwrap().iter();
                    flags.map(|flag| flag["feature"]["name"].as_str().unwrap().to_owned()).collect()
                };
                assert_eq!(names(KeyClass::Publishable, &mut kept), expected);
                assert_eq!(names(KeyClass::Secret, &mut kept), ["a", "b", "c"]);
            }
        }
    }
}
