//! What is made of Flagsmith's rules when they are published.

use hyper::header::{HeaderName, HeaderValue};

use super::content::CLASSES;
use super::{PreparedBody, Profile, class_index};
use crate::compile::flagsmith::{Compiled, Policy, compile};
use crate::dialect::flagsmith::Answers;
use crate::dialect::tag::mix;
use crate::evaluate::flagsmith::Program;
use crate::model::KeyClass;
use crate::model::flagsmith::{Environment, UpdatedAt};
use crate::time::Timestamp;

/// `x-flagsmith-document-updated-at`
pub const UPDATED_AT: HeaderName = HeaderName::from_static("x-flagsmith-document-updated-at");

/// Rules in Flagsmith's words, compiled, and ready-made answers.
#[derive(Debug)]
pub struct FlagsmithContent {
    /// The client-side key that the document brings.
    pub key: Box<str>,
    /// Whether the environment asks for answers without traits.
    pub hides_sensitive_data: bool,
    updated_at: Option<UpdatedAt>,
    /// The rules, compiled. What they were compiled from is not kept beside them.
    pub program: Program,
    /// Pieces of answers.
    pub answers: Answers,
    /// `GET environment-document/`
    pub document: PreparedBody,
    /// `GET flags/` by class of keys.
    pub flags: [PreparedBody; 2],
    /// `GET flags/?feature=` by class of keys and feature.
    pub each_flag: [Vec<Option<PreparedBody>>; 2],
}

impl FlagsmithContent {
    pub(super) fn prepare(
        environment: Environment,
        profile: &Profile,
        tag_seeds: [u64; 2],
        document_tag: u64,
    ) -> (Self, Vec<String>) {
        let policy = Policy {
            segments_without_identity: profile.segments_without_identity,
            ..Policy::default()
        };
        let Compiled { program, diagnostics } = compile(&environment, &policy);
        let answers = Answers::prepare(&program);
        // Tags of bodies for a class: the fingerprint is in the document's.
        let seed = |class| mix(document_tag, tag_seeds[class_index(class)]);
        let flags = CLASSES
            .map(|class| PreparedBody::new(answers.flags(&program, class), mix(seed(class), 1)));
        let each_flag = CLASSES.map(|class| {
            let bodies = answers.each_flag(&program, class).into_iter().zip(2..);
            let tagged = bodies.map(|(body, number)| {
                body.map(|body| PreparedBody::new(body, mix(seed(class), number)))
            });
            tagged.collect()
        });
        let content = Self {
            document: PreparedBody::new(environment.verbatim, document_tag),
            key: environment.key,
            hides_sensitive_data: environment.vendor.hide_sensitive_data,
            updated_at: environment.updated_at,
            program,
            answers,
            flags,
            each_flag,
        };
        (content, diagnostics)
    }

    pub(super) fn compress(&self) {
        self.document.compress();
        self.flags.iter().for_each(PreparedBody::compress);
    }

    /// The value of [`UPDATED_AT`]: seconds with a fraction, as the vendor spells them.
    pub(super) fn updated_at(&self) -> Option<HeaderValue> {
        let at = self.updated_at?.0;
        let (seconds, micros) = (at.div_euclid(1_000_000), at.rem_euclid(1_000_000));
        HeaderValue::from_str(&format!("{seconds}.{micros:06}")).ok()
    }

    /// When the document last changed, in whole seconds as HTTP dates are.
    pub fn last_modified(&self) -> Option<Timestamp> {
        Some(Timestamp(self.updated_at?.0.div_euclid(1_000_000) * 1_000))
    }

    /// How many features publishable keys see when nothing overrides them.
    pub fn public_features(&self) -> usize {
        self.each_flag[class_index(KeyClass::Publishable)].iter().flatten().count()
    }
}
