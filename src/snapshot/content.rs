//! What one environment serves: made whole by the publisher, never changed afterwards.

use std::sync::OnceLock;

use super::flagsmith::FlagsmithContent;
use super::heads::HeadsByClass;
use super::reflag::ReflagContent;
use super::{Profile, TranslatedDocument, fingerprint};
use crate::dialect::ofrep::Evaluations;
use crate::dialect::reflag::translate::Terms;
use crate::dialect::tag::mix;
use crate::dialect::{Dialect, Translation, Untranslated, flagsmith, reflag};
use crate::evaluate::AnyProgram;
use crate::model::flagsmith::Environment;
use crate::model::{Fingerprint, KeyClass, Rules, Version};

/// One environment's rules and everything that was prepared from them.
#[derive(Debug)]
pub struct Content {
    /// The version that clients see.
    pub version: Version,
    /// Hash of the meaning.
    pub fingerprint: Fingerprint,
    /// Whether keys of a class are served: publishable ones not before it is known which flags they
    /// may see.
    pub serves: [bool; 2],
    /// Header fields of answers.
    pub heads: HeadsByClass,
    /// What tags of answers depend on beside the flags: environment, class and version.
    pub tag_seeds: [u64; 2],
    /// The same for answers that do not tell their version.
    pub unversioned_seeds: [u64; 2],
    /// The rules.
    pub family: Family,
    /// Flags that have no exact equal in the words of the other family's protocol; not known at once.
    untranslated: OnceLock<Vec<Untranslated>>,
    /// The rules as server SDKs of the other family take them, once one has asked.
    translated: OnceLock<TranslatedDocument>,
    /// Evaluations as OFREP spells them.
    pub evaluations: Evaluations,
}

/// A content, and what else comes of preparing it.
#[derive(Debug)]
pub struct Prepared {
    /// What is served.
    pub content: Content,
    /// What the compiler found odd.
    pub diagnostics: Vec<String>,
    /// Flagsmith's rules, which the content does not keep.
    pub environment: Option<Environment>,
}

/// What is made of rules of each family.
#[derive(Debug)]
pub enum Family {
    /// Reflag's.
    Reflag(Box<ReflagContent>),
    /// Flagsmith's.
    Flagsmith(Box<FlagsmithContent>),
}

impl Family {
    /// The compiled rules.
    pub fn program(&self) -> AnyProgram<'_> {
        match self {
            Self::Reflag(content) => AnyProgram::Reflag(&content.program),
            Self::Flagsmith(content) => AnyProgram::Flagsmith(&content.program),
        }
    }

    /// The rules in the words of the other family's protocol.
    fn translate(&self, profile: &Profile, version: Version) -> Translation {
        match self {
            Self::Reflag(content) => flagsmith::translate::environment_document(
                &content.ruleset,
                &content.program,
                &profile.policy,
                &profile.name,
                version,
            ),
            Self::Flagsmith(content) => {
                reflag::translate::definitions(&content.environment(), &terms(profile, version))
            }
        }
    }

    /// The flags that [`Family::translate`] leaves out. `environment` is Flagsmith's rules if they are
    /// still there; else they are read once more.
    fn untranslated(
        &self,
        profile: &Profile,
        version: Version,
        environment: Option<&Environment>,
    ) -> Vec<Untranslated> {
        match self {
            Self::Reflag(content) => {
                flagsmith::translate::untranslated(&content.ruleset, &profile.policy)
            }
            Self::Flagsmith(content) => {
                let terms = terms(profile, version);
                match environment {
                    Some(environment) => reflag::translate::untranslated(environment, &terms),
                    None => reflag::translate::untranslated(&content.environment(), &terms),
                }
            }
        }
    }

    /// The dialect whose server SDKs are given a translation.
    pub fn translated_for(&self) -> Dialect {
        match self {
            Self::Reflag(_) => Dialect::Flagsmith,
            Self::Flagsmith(_) => Dialect::Reflag,
        }
    }
}

/// Place of a class in the arrays of [`Content`].
pub fn class_index(class: KeyClass) -> usize {
    match class {
        KeyClass::Publishable => 0,
        KeyClass::Secret => 1,
    }
}

/// Classes of keys, in the order of [`class_index`].
pub(super) const CLASSES: [KeyClass; 2] = [KeyClass::Publishable, KeyClass::Secret];

impl Content {
    /// The hash of what `rules` mean under the profile's policy.
    pub fn fingerprint_of(rules: &Rules, profile: &Profile) -> Fingerprint {
        match rules {
            Rules::Reflag(ruleset) => fingerprint::of_reflag(ruleset, &profile.policy),
            Rules::Flagsmith(environment) => fingerprint::of_flagsmith(environment),
        }
    }

    /// Compiles and prepares. Takes long for large rulesets: never called on a thread that serves
    /// requests.
    pub fn prepare(
        rules: Rules,
        fingerprint: Fingerprint,
        version: Version,
        profile: &Profile,
    ) -> Prepared {
        let unversioned_seeds = CLASSES.map(|class| tag_seed(profile, class));
        let tag_seeds = unversioned_seeds.map(|seed| mix(seed, version.number()));
        let public_is_known = match &rules {
            Rules::Reflag(ruleset) => profile.policy.knows_public(ruleset),
            Rules::Flagsmith(_) => true,
        };
        let broken = rules.broken();
        let document_tag = mix(mix(fingerprint.0, version.number()), tag_seeds[1]);
        let (family, diagnostics, environment) = match rules {
            Rules::Reflag(ruleset) => {
                let (content, diagnostics) =
                    ReflagContent::prepare(ruleset, version, profile, tag_seeds, document_tag);
                (Family::Reflag(Box::new(content)), diagnostics, None)
            }
            Rules::Flagsmith(environment) => {
                let (content, diagnostics) =
                    FlagsmithContent::prepare(&environment, profile, version, document_tag);
                (Family::Flagsmith(Box::new(content)), diagnostics, Some(environment))
            }
        };
        let dated = match &family {
            Family::Reflag(_) => None,
            Family::Flagsmith(content) => Some(&**content),
        };
        let heads = HeadsByClass::prepare(version, fingerprint, &profile.cors, dated);
        let broken = broken.iter().map(|broken| broken.flag.as_str());
        let evaluations = Evaluations::prepare(family.program(), profile.bare_key, broken);
        let content = Self {
            version,
            fingerprint,
            serves: [public_is_known, true],
            heads,
            tag_seeds,
            unversioned_seeds,
            family,
            evaluations,
            untranslated: OnceLock::new(),
            translated: OnceLock::new(),
        };
        Prepared { content, diagnostics, environment }
    }

    /// Takes the place of `held`; called before the content is published.
    pub fn date_after(&mut self, held: &Self) {
        if let (Family::Flagsmith(content), Some(held)) = (&mut self.family, held.flagsmith()) {
            content.date_after(held);
        }
    }

    /// Makes the compressed forms; called once the content is published.
    pub fn compress(&self) {
        match &self.family {
            Family::Reflag(content) => content.compress(),
            Family::Flagsmith(content) => content.compress(),
        }
    }

    /// Finds out which flags have no exact equal in the other family's protocol; called once the
    /// content is published, since the change in it must not wait for that.
    pub fn find_untranslated(&self, profile: &Profile, environment: Option<&Environment>) {
        let find = || self.family.untranslated(profile, self.version, environment);
        self.untranslated.get_or_init(find);
    }

    /// The flags that have none; empty as long as it is not known.
    pub fn untranslated(&self) -> &[Untranslated] {
        self.untranslated.get().map_or(&[], Vec::as_slice)
    }

    /// The rules as server SDKs of the other family take them; none before [`Content::translate`].
    pub fn translated(&self) -> Option<&TranslatedDocument> {
        self.translated.get()
    }

    /// Makes the translated document. Takes long for large rulesets: never called on a thread that
    /// serves requests.
    pub fn translate(&self, profile: &Profile) {
        self.translated.get_or_init(|| {
            let translation = self.family.translate(profile, self.version);
            let tag = mix(mix(self.fingerprint.0, self.tag_seeds[1]), 7);
            let document = TranslatedDocument::new(translation, profile.definitions, tag);
            document.compress();
            document
        });
    }

    /// What is made of Reflag's rules, if these are.
    pub fn reflag(&self) -> Option<&ReflagContent> {
        match &self.family {
            Family::Reflag(content) => Some(content),
            Family::Flagsmith(_) => None,
        }
    }

    /// What is made of Flagsmith's rules, if these are.
    pub fn flagsmith(&self) -> Option<&FlagsmithContent> {
        match &self.family {
            Family::Reflag(_) => None,
            Family::Flagsmith(content) => Some(content),
        }
    }

    /// How many segments the rules have, and identities with overrides of their own. Reflag's have
    /// neither.
    pub fn segments_and_overrides(&self) -> (usize, usize) {
        match &self.family {
            Family::Reflag(_) => (0, 0),
            Family::Flagsmith(content) => {
                (content.program.segments.len(), content.program.identities.len())
            }
        }
    }

    /// How many flags are served.
    pub fn flags(&self) -> usize {
        match &self.family {
            Family::Reflag(content) => content.program.flags.len(),
            Family::Flagsmith(content) => content.program.features.len(),
        }
    }
}

fn terms(profile: &Profile, version: Version) -> Terms {
    Terms {
        version,
        generation: profile.policy.generation,
        segments_without_identity: profile.segments_without_identity,
    }
}

fn tag_seed(profile: &Profile, class: KeyClass) -> u64 {
    let name = profile.name.as_str().bytes().fold(7, |tag, b| mix(tag, u64::from(b)));
    mix(name, class_index(class) as u64 + 1)
}
