//! What is made of Flagsmith's rules when they are published.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use hyper::header::{HeaderName, HeaderValue};

use super::content::CLASSES;
use super::{PreparedBody, Profile, class_index};
use crate::compile::flagsmith::{Compiled, Policy, compile};
use crate::dialect::flagsmith::{Answers, document};
use crate::dialect::tag::mix;
use crate::evaluate::flagsmith::Program;
use crate::model::KeyClass;
use crate::model::flagsmith::{Environment, Named};
use crate::time::Timestamp;

/// `x-flagsmith-document-updated-at`
pub const UPDATED_AT: HeaderName = HeaderName::from_static("x-flagsmith-document-updated-at");

/// Rules in Flagsmith's words, compiled, and ready-made answers.
#[derive(Debug)]
pub struct FlagsmithContent {
    /// The rules as the source gave them.
    pub environment: Arc<Environment>,
    /// The rules, compiled.
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

impl Profile {
    /// What the settings say about Flagsmith's rules.
    pub fn flagsmith_policy(&self) -> Policy {
        let segments_without_identity = self.segments_without_identity;
        Policy { segments_without_identity, ..Policy::default() }
    }
}

/// Features and segments that broke keep the form in which they were last good, and their place.
pub(super) fn keep_last_good_forms(environment: &mut Environment, held: &Environment) {
    for at in 0..environment.broken.len() {
        let named = environment.broken[at].named.clone();
        let place = match &named {
            Named::Feature(name) => keep_feature(environment, held, name),
            Named::Segment(name) => keep_segment(environment, held, name),
            Named::Other => None,
        };
        let Some(place) = place else { continue };
        let kept = held.broken.iter().find(|broken| broken.named == named);
        let kept = kept.and_then(|broken| broken.replacement.clone());
        // A copy, so that one flag does not keep a whole document.
        let copy = || held.verbatim.get(place).map(Bytes::copy_from_slice);
        environment.broken[at].replacement = kept.or_else(copy);
    }
}

/// Gives where the last good form stands in the document that is held.
fn keep_feature(
    environment: &mut Environment,
    held: &Environment,
    name: &str,
) -> Option<Range<usize>> {
    let features = &mut environment.features;
    if features.iter().any(|feature| *feature.state.feature == *name) {
        return None;
    }
    let at = held.features.iter().position(|feature| *feature.state.feature == *name)?;
    features.insert(at.min(features.len()), held.features[at].clone());
    Some(held.features[at].place.clone())
}

/// The same for a segment.
fn keep_segment(
    environment: &mut Environment,
    held: &Environment,
    name: &str,
) -> Option<Range<usize>> {
    let segments = &mut environment.segments;
    if segments.iter().any(|segment| *segment.name == *name) {
        return None;
    }
    let at = held.segments.iter().position(|segment| *segment.name == *name)?;
    segments.insert(at.min(segments.len()), held.segments[at].clone());
    Some(held.segments[at].place.clone())
}

impl FlagsmithContent {
    pub(super) fn prepare(
        environment: Environment,
        profile: &Profile,
        tag_seeds: [u64; 2],
        document_tag: u64,
    ) -> (Self, Vec<String>) {
        let Compiled { program, diagnostics, .. } =
            compile(&environment, &profile.flagsmith_policy());
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
            document: PreparedBody::new(document::served(&environment), document_tag),
            environment: Arc::new(environment),
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
        let at = self.environment.updated_at?.0;
        let (seconds, micros) = (at.div_euclid(1_000_000), at.rem_euclid(1_000_000));
        HeaderValue::from_str(&format!("{seconds}.{micros:06}")).ok()
    }

    /// When the document last changed, in whole seconds as HTTP dates are. None while it is so young
    /// that another change may fall into the same second.
    pub fn last_modified(&self, now: Timestamp) -> Option<Timestamp> {
        let updated = Timestamp(self.environment.updated_at?.0.div_euclid(1_000_000) * 1_000);
        (now.since(updated) >= 2_000).then_some(updated)
    }

    /// How many features publishable keys see when nothing overrides them.
    pub fn public_features(&self) -> usize {
        self.each_flag[class_index(KeyClass::Publishable)].iter().flatten().count()
    }
}
