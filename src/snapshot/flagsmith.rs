//! What is made of Flagsmith's rules when they are published.

use std::ops::Range;

use bytes::Bytes;
use hyper::header::{HeaderName, HeaderValue};

use super::content::CLASSES;
use super::{PreparedBody, Profile, class_index};
use crate::compile::flagsmith::{Compiled, Policy, compile};
use crate::dialect::flagsmith::{Answers, document};
use crate::dialect::reflag::Entries;
use crate::dialect::tag::mix;
use crate::evaluate::AnyProgram;
use crate::evaluate::flagsmith::Program;
use crate::model::flagsmith::{Environment, Named, Segment, UpdatedAt};
use crate::model::{KeyClass, Version};
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
    last_modified: Option<LastModified>,
    /// The rules, compiled. What they were compiled from is not kept beside them.
    pub program: Program,
    /// Pieces of answers.
    pub answers: Answers,
    /// `GET environment-document/`
    pub document: PreparedBody,
    /// `GET flags/` by class of keys.
    pub environment_flags: EnvironmentFlags,
    /// Entries of Reflag answers.
    pub entries: Entries,
}

/// The date of a document, by which clients may ask whether it changed.
#[derive(Debug)]
pub struct LastModified {
    /// Whole seconds, as HTTP dates have them.
    at: Timestamp,
    /// The same as the value of `Last-Modified`.
    field: HeaderValue,
}

/// One second, in which HTTP counts.
const SECOND_MILLIS: i64 = 1_000;

/// Moments that HTTP dates can spell: to the end of the year 9999.
const HTTP_DATES: Range<i64> = 0..253_402_300_800_000;

impl LastModified {
    /// None for a moment that has no HTTP date.
    fn new(at: Timestamp) -> Option<Self> {
        let at = Timestamp(at.0.div_euclid(SECOND_MILLIS) * SECOND_MILLIS);
        let date = HTTP_DATES.contains(&at.0).then(|| httpdate::fmt_http_date(at.into()))?;
        Some(Self { at, field: HeaderValue::try_from(date).ok()? })
    }

    /// The earliest date that tells whatever comes next from this.
    fn next(&self) -> Option<Self> {
        Self::new(Timestamp(self.at.0 + SECOND_MILLIS))
    }

    /// When the document last changed.
    pub fn at(&self) -> Timestamp {
        self.at
    }

    /// The value of `Last-Modified`.
    pub fn field(&self) -> &HeaderValue {
        &self.field
    }
}

/// The flags of nobody in particular.
#[derive(Debug)]
pub struct EnvironmentFlags {
    /// `GET flags/` by class of keys.
    pub all: [PreparedBody; 2],
    /// `GET flags/?feature=`, by the flag's place.
    each: Vec<PreparedBody>,
    /// By class of keys and place: whether the class may see the flag.
    visible: [Box<[bool]>; 2],
}

impl EnvironmentFlags {
    /// Takes the bodies about all flags by class of keys, those about each, and which of them a class
    /// may see. `tag` must change with the rules.
    pub(super) fn new(
        tag: u64,
        all: [Bytes; 2],
        each: impl IntoIterator<Item = Bytes>,
        visible: [Box<[bool]>; 2],
    ) -> Self {
        let [of_publishable, of_secret] = all;
        let each = each.into_iter().zip(3..);
        Self {
            all: [
                PreparedBody::new(of_publishable, mix(tag, 1)),
                PreparedBody::new(of_secret, mix(tag, 2)),
            ],
            each: each.map(|(body, number)| PreparedBody::new(body, mix(tag, number))).collect(),
            visible,
        }
    }

    /// The body about the flag at a place; none where the class may not see it.
    pub fn one(&self, place: usize, class: KeyClass) -> Option<&PreparedBody> {
        self.visible[class_index(class)][place].then(|| &self.each[place])
    }

    /// How many flags publishable keys see.
    pub fn public(&self) -> usize {
        self.visible[class_index(KeyClass::Publishable)].iter().filter(|&&visible| visible).count()
    }

    pub(super) fn compress(&self) {
        self.all.iter().for_each(PreparedBody::compress);
    }
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
            Named::Segment { id, name } => {
                keep_segment(environment, held, id.as_deref(), name.as_deref())
            }
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

/// The same for a segment. One that has lost its id is known by its name, where only one had that.
fn keep_segment(
    environment: &mut Environment,
    held: &Environment,
    id: Option<&str>,
    name: Option<&str>,
) -> Option<Range<usize>> {
    let is_meant = |segment: &Segment| match id {
        Some(id) => *segment.key == *id,
        None => Some(&*segment.name) == name,
    };
    let mut meant = held.segments.iter().enumerate().filter(|(_, segment)| is_meant(segment));
    let (Some((at, kept)), None) = (meant.next(), meant.next()) else { return None };
    let segments = &mut environment.segments;
    if segments.iter().any(|segment| segment.key == kept.key || is_meant(segment)) {
        return None;
    }
    segments.insert(at.min(segments.len()), kept.clone());
    Some(kept.place.clone())
}

impl FlagsmithContent {
    pub(super) fn prepare(
        environment: &Environment,
        profile: &Profile,
        version: Version,
        document_tag: u64,
    ) -> (Self, Vec<String>) {
        let Compiled { program, diagnostics, .. } =
            compile(environment, &profile.flagsmith_policy());
        let answers = Answers::prepare(&program);
        let environment_flags = EnvironmentFlags::new(
            document_tag,
            CLASSES.map(|class| answers.flags(&program, class)),
            answers.each_flag(&program),
            CLASSES.map(|class| answers.visible(&program, class)),
        );
        let content = Self {
            document: PreparedBody::new(document::served(environment), document_tag),
            key: environment.key.clone(),
            hides_sensitive_data: environment.vendor.hide_sensitive_data,
            updated_at: environment.updated_at,
            last_modified: environment
                .updated_at
                .and_then(|at| LastModified::new(Timestamp(at.0.div_euclid(1_000)))),
            entries: Entries::prepare(AnyProgram::Flagsmith(&program), version),
            program,
            answers,
            environment_flags,
        };
        (content, diagnostics)
    }

    /// The rules as they were compiled, read once more: they are not kept beside the program, and
    /// few ask for them. Never on a thread that serves requests.
    pub fn environment(&self) -> Environment {
        // It was read before, so it can be.
        document::read(self.document.plain().0).unwrap_or_default()
    }

    pub(super) fn compress(&self) {
        self.document.compress();
        self.environment_flags.compress();
    }

    /// The value of [`UPDATED_AT`]: seconds with a fraction, as the vendor spells them.
    pub(super) fn updated_at(&self) -> Option<HeaderValue> {
        let at = self.updated_at?.0;
        let (seconds, micros) = (at.div_euclid(1_000_000), at.rem_euclid(1_000_000));
        HeaderValue::from_str(&format!("{seconds}.{micros:06}")).ok()
    }

    /// The same in microseconds of the epoch.
    pub(super) fn updated_micros(&self) -> Option<i64> {
        self.updated_at.map(|at| at.0)
    }

    /// The document's date: its `updated_at`, or a second after the date of what was served before,
    /// whichever is later. None where there is neither.
    ///
    /// Overrides change without `updated_at`, a file may be put back to an older state, and two edits
    /// may fall into one second. Whoever holds one content and asks by its date must be told of each
    /// other one.
    pub fn last_modified(&self) -> Option<&LastModified> {
        self.last_modified.as_ref()
    }

    /// Takes the place of `held`, which clients may hold with its date.
    pub(super) fn date_after(&mut self, held: &Self) {
        let earliest = held.last_modified().and_then(LastModified::next);
        let at = |date: &Option<LastModified>| date.as_ref().map(LastModified::at);
        if at(&earliest) > at(&self.last_modified) {
            self.last_modified = earliest;
        }
    }

    /// How many features publishable keys see when nothing overrides them.
    pub fn public_features(&self) -> usize {
        self.environment_flags.public()
    }
}
