//! What one environment serves: made whole by the publisher, never changed afterwards.

use std::sync::Arc;

use bytes::Bytes;
use hyper::header::{self, HeaderMap, HeaderName, HeaderValue};

use super::fingerprint::fingerprint;
use super::{Cors, PreparedBody, Profile};
use crate::compile::{Compiled, compile};
use crate::dialect::reflag::{Answer, Answers, Selection, answers, definitions};
use crate::evaluate::{EvaluationContext, Evaluator, Program};
use crate::model::{Fingerprint, KeyClass, Ruleset, Version};
use crate::time::Timestamp;

/// One environment's rules and everything that was prepared from them.
#[derive(Debug)]
pub struct Content {
    /// The version that clients see.
    pub version: Version,
    /// The source's own number of this state.
    pub source_version: Option<u64>,
    /// Hash of the meaning.
    pub fingerprint: Fingerprint,
    /// The rules as the source gave them.
    pub ruleset: Arc<Ruleset>,
    /// The rules, compiled.
    pub program: Program,
    /// Pieces of Reflag answers.
    pub answers: Answers,
    /// `GET /features`
    pub definitions: PreparedBody,
    /// `GET /features/evaluated` by class of keys, where it is the same for everybody.
    pub evaluated: [Option<PreparedBody>; 2],
    /// Whether keys of a class are served: publishable ones not before it is known which flags they
    /// may see.
    pub serves: [bool; 2],
    /// Header fields by class of keys.
    pub heads: [Heads; 2],
    /// What tags of answers depend on beside the flags: environment, class and version.
    pub tag_seeds: [u64; 2],
}

/// Header fields that every answer of a kind carries; copied, not built, at request time. Fields
/// whose value is only known then are there already, so that filling them in allocates nothing.
#[derive(Debug)]
pub struct Heads {
    /// Answers that depend on a context.
    pub context: HeaderMap,
    /// Answers that are the same for all keys of the class.
    pub shared: HeaderMap,
    /// Definitions, which always say how old they are.
    pub definitions: HeaderMap,
}

/// `burgee-version`
const VERSION: HeaderName = HeaderName::from_static("burgee-version");
/// `burgee-fingerprint`
const FINGERPRINT: HeaderName = HeaderName::from_static("burgee-fingerprint");
/// `burgee-state`
pub const STATE: HeaderName = HeaderName::from_static("burgee-state");

/// What web pages may read of an answer's head (DESIGN section 3).
pub const EXPOSED: HeaderValue = HeaderValue::from_static(
    "ETag, Retry-After, Age, X-Flagsmith-Document-Updated-At, burgee-version, \
     burgee-fingerprint, burgee-state",
);

const VARY: HeaderValue =
    HeaderValue::from_static("Authorization, X-Environment-Key, X-API-Key, Accept-Encoding");
const VARY_WITH_ORIGIN: HeaderValue = HeaderValue::from_static(
    "Authorization, X-Environment-Key, X-API-Key, Accept-Encoding, Origin",
);

/// Place of a class in the arrays of [`Content`].
pub fn class_index(class: KeyClass) -> usize {
    match class {
        KeyClass::Publishable => 0,
        KeyClass::Secret => 1,
    }
}

const CLASSES: [KeyClass; 2] = [KeyClass::Publishable, KeyClass::Secret];

impl Content {
    /// The hash of what `ruleset` means under the profile's policy.
    pub fn fingerprint_of(ruleset: &Ruleset, profile: &Profile) -> Fingerprint {
        fingerprint(ruleset, &profile.policy)
    }

    /// Compiles and prepares; gives diagnostics of the compiler along. Takes long for large
    /// rulesets: never called on a thread that serves requests.
    pub fn prepare(
        ruleset: Arc<Ruleset>,
        fingerprint: Fingerprint,
        version: Version,
        profile: &Profile,
    ) -> (Self, Vec<String>) {
        let Compiled { program, diagnostics } = compile(&ruleset, &profile.policy);
        let answers = Answers::prepare(&ruleset, &program, version);
        let tag_seeds = CLASSES.map(|class| tag_seed(profile, class, version));
        let document = definitions::write(&ruleset, &profile.policy, version);
        let document_tag =
            answers::mix(answers::mix(fingerprint.0, version.number()), tag_seeds[1]);
        let evaluated = CLASSES.map(|class| {
            let seed = tag_seeds[class_index(class)];
            answers.is_constant(class).then(|| prepare_evaluated(&answers, &program, class, seed))
        });
        let content = Self {
            version,
            source_version: ruleset.source_version,
            fingerprint,
            definitions: PreparedBody::new(document, document_tag),
            evaluated,
            serves: [profile.policy.knows_public(&ruleset), true],
            heads: CLASSES.map(|class| Heads::new(version, fingerprint, class, &profile.cors)),
            tag_seeds,
            ruleset,
            program,
            answers,
        };
        (content, diagnostics)
    }

    /// Makes the compressed forms; called once the content is published.
    pub fn compress(&self) {
        self.definitions.compress();
        self.evaluated.iter().flatten().for_each(PreparedBody::compress);
    }
}

/// Evaluates an answer that depends on nothing.
fn prepare_evaluated(
    answers: &Answers,
    program: &Program,
    class: KeyClass,
    seed: u64,
) -> PreparedBody {
    let mut context = EvaluationContext::new();
    context.reset(program);
    let mut evaluator = Evaluator::new(program, &mut context, Timestamp(0));
    let mut answer = Answer::default();
    answers.write(class, Selection::All, &mut evaluator, seed, &mut answer);
    PreparedBody::new(Bytes::from(answer.body), answer.tag)
}

fn tag_seed(profile: &Profile, class: KeyClass, version: Version) -> u64 {
    let name = profile.name.as_str().bytes().fold(7, |tag, b| answers::mix(tag, u64::from(b)));
    answers::mix(answers::mix(name, class_index(class) as u64 + 1), version.number())
}

impl Heads {
    fn new(version: Version, fingerprint: Fingerprint, class: KeyClass, cors: &Cors) -> Self {
        let mut base = HeaderMap::new();
        base.insert(header::ETAG, HeaderValue::from_static("\"\""));
        base.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        base.insert(VERSION, HeaderValue::from(version.number()));
        if let Ok(fingerprint) = HeaderValue::from_str(&fingerprint.to_string()) {
            base.insert(FINGERPRINT, fingerprint);
        }
        let public = class == KeyClass::Publishable;
        if public {
            base.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
            if *cors == Cors::Any {
                base.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
            }
        }
        let mut shared = base.clone();
        shared.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-cache"));
        let by_origin = public && *cors != Cors::Any;
        shared.insert(header::VARY, if by_origin { VARY_WITH_ORIGIN } else { VARY });
        let mut context = base;
        context.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, no-store"));
        if by_origin {
            context.insert(header::VARY, HeaderValue::from_static("Origin"));
        }
        let mut definitions = shared.clone();
        definitions.insert(header::AGE, HeaderValue::from_static("0"));
        Self { context, shared, definitions }
    }
}
