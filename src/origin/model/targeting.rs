//! Who has a flag on in one environment, and which value comes with it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{EntityKind, Flag, Segment, SegmentId, Variant};
use crate::time::Timestamp;

/// Bounds of what may be stored.
pub mod limits {
    /// Characters of a flag's key, or of any name.
    pub const NAME: usize = 255;
    /// Characters of a flag's description.
    pub const DESCRIPTION: usize = 8_192;
    /// Characters of a company's or user's id (reflag-management.md section 3).
    pub const ENTITY_ID: usize = 256;
    /// Companies or users that one flag lists in one environment.
    pub const TARGETS: usize = 1_000_000;
    /// Rules of one flag in one environment, or of one segment.
    pub const RULES: usize = 100;
    /// Conditions of one rule.
    pub const CONDITIONS: usize = 100;
    /// Values of one condition.
    pub const VALUES: usize = 10_000;
    /// Characters of a value.
    pub const VALUE: usize = 1_024;
    /// Variants of one flag.
    pub const VARIANTS: usize = 100;
    /// Bytes of a variant's payload.
    pub const PAYLOAD: usize = 256 * 1024;
    /// Bytes of all attributes of a company or user.
    pub const ATTRIBUTES: usize = 64 * 1024;
    /// Flags of one app.
    pub const FLAGS: usize = 100_000;
    /// Environments, segments or stages of one app.
    pub const OF_AN_APP: usize = 1_000;
    /// Highest place of a stage.
    pub const ORDER: u64 = 1_000_000;
    /// How far flags may depend on flags that depend on flags.
    pub const FLAG_DEPTH: usize = 5;
    /// Bytes that an environment's definitions may weigh, in which flags and segments are written out
    /// wherever they are named. Less than a source takes: they are compiled, too.
    pub const DEFINITIONS: u128 = 64 << 20;
    /// Updates of one call.
    pub const UPDATES: usize = 10_000;
}

/// One flag's targeting in one environment.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Targeting {
    /// Grows with each change of access, from 1.
    pub version: u64,
    /// When it changed last.
    pub updated_at: Timestamp,
    /// Everybody, segments and rules.
    pub access: Access,
    /// Companies for which it is on, sorted.
    pub company_ids: Vec<String>,
    /// Users for whom it is on, sorted.
    pub user_ids: Vec<String>,
    /// Grows with each change of who gets which variant, from 1.
    pub config_version: u64,
    /// Who gets which variant.
    pub config: ConfigTargeting,
}

impl Targeting {
    /// The protocol's word for how much this is.
    pub fn mode(&self) -> &'static str {
        let nothing = self.company_ids.is_empty()
            && self.user_ids.is_empty()
            && self.access.segments.is_empty()
            && self.access.rules.is_empty();
        match (self.access.everyone, nothing) {
            (true, _) => "everyone",
            (false, true) => "none",
            (false, false) => "some",
        }
    }

    /// The entities that are listed.
    pub fn ids(&self, kind: EntityKind) -> &[String] {
        match kind {
            EntityKind::Company => &self.company_ids,
            EntityKind::User => &self.user_ids,
        }
    }
}

/// Who has a flag on, beside those who are listed one by one. One of its parts is enough.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Access {
    /// Everybody.
    pub everyone: bool,
    /// Who is in one of these.
    pub segments: Vec<SegmentId>,
    /// Whoever satisfies one of these.
    pub rules: Vec<Rule>,
}

/// Conditions that must all hold, for a share of those for whom they do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Rule {
    /// All must hold; an empty list always does.
    pub conditions: Vec<Condition>,
    /// The share.
    #[serde(default)]
    pub percentage: Percentage,
    /// The attribute whose value decides who is in the share: the same value always falls the same
    /// way.
    #[serde(default = "by_company")]
    pub rollout_attribute: String,
}

fn by_company() -> String {
    EntityKind::Company.attribute().to_owned()
}

impl Rule {
    /// A rule for all of whom the conditions hold.
    pub fn of(conditions: Vec<Condition>) -> Self {
        Self { conditions, percentage: Percentage::default(), rollout_attribute: by_company() }
    }
}

/// Everybody, in [`Percentage`]'s unit.
pub const EVERYONE_PER_MILLE: u32 = 100_000;

/// A share in 1/1000 of a percent: 0 to 100,000.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Percentage(u32);

impl Default for Percentage {
    fn default() -> Self {
        Self(EVERYONE_PER_MILLE)
    }
}

impl Percentage {
    /// The share that a number from 0 to 100 with at most three decimal places names.
    #[expect(clippy::cast_sign_loss, reason = "the range was checked")]
    pub fn new(percent: f64) -> Option<Self> {
        let thousandths = (percent * 1_000.0).round();
        let exact = (percent * 1_000.0 - thousandths).abs() < 1e-6;
        ((0.0..=100.0).contains(&percent) && exact).then_some(Self(thousandths as u32))
    }

    /// What the rollout's hash is compared with (reflag-runtime.md 12.4).
    pub fn threshold(self) -> u32 {
        self.0
    }

    /// As a number from 0 to 100.
    pub fn percent(self) -> f64 {
        f64::from(self.0) / 1_000.0
    }

    /// Whether nobody is left out.
    pub fn is_everyone(self) -> bool {
        self.0 >= EVERYONE_PER_MILLE
    }
}

/// What a rule asks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Condition {
    /// How an attribute compares.
    Attribute {
        /// `company.plan`, `user.email`, `other.country`
        attribute: String,
        /// The runtime API's name of the comparison (reflag-runtime.md 12.3).
        operator: String,
        /// What it is compared with.
        values: Vec<String>,
    },
    /// Whether somebody is in a segment.
    Segment {
        /// Which.
        segment: SegmentId,
        /// Whether they have to be in it, or must not.
        matches: bool,
    },
    /// Whether somebody has another flag of the app on, in the same environment.
    Flag {
        /// Its key.
        flag: String,
        /// Whether it has to be on, or off.
        enabled: bool,
    },
}

/// Who gets which variant of a flag in one environment. The most specific wins: users, companies,
/// segments from the first on, then the default.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ConfigTargeting {
    /// The variant of all others.
    pub default: Option<String>,
    /// In the order in which they are tried.
    pub segments: Vec<SegmentVariant>,
    /// By company id. Not part of the stored text: entities have a table.
    #[serde(skip)]
    pub companies: BTreeMap<String, String>,
    /// By user id.
    #[serde(skip)]
    pub users: BTreeMap<String, String>,
}

/// The variant of a segment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SegmentVariant {
    /// Who.
    pub segment: SegmentId,
    /// The variant's key.
    pub variant: String,
}

/// All that an environment's definitions are made of, at one moment.
#[derive(Clone, Debug, Default)]
pub struct EnvironmentState {
    /// The environment's `flagStateVersion`.
    pub version: u64,
    /// By key, archived ones included.
    pub flags: Vec<FlagState>,
    /// Of the app.
    pub segments: Vec<Segment>,
}

/// A flag in one environment.
#[derive(Clone, Debug)]
pub struct FlagState {
    /// What all environments share.
    pub flag: Flag,
    /// In the order in which they were written.
    pub variants: Vec<Variant>,
    /// Who has it on.
    pub targeting: Targeting,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentage_has_three_decimal_places() {
        let thresholds = [(0.0, 0), (0.001, 1), (25.0, 25_000), (33.333, 33_333), (100.0, 100_000)];
        for (percent, threshold) in thresholds {
            let percentage = Percentage::new(percent).unwrap();
            assert_eq!(percentage.threshold(), threshold);
            assert_eq!(Percentage::new(percentage.percent()), Some(percentage));
        }
        for percent in [-0.001, 100.001, 0.0001, f64::NAN, f64::INFINITY] {
            assert_eq!(Percentage::new(percent), None, "{percent}");
        }
    }
}
