//! Numbers whatever features can come to.

use std::collections::HashMap;
use std::sync::Arc;

use crate::evaluate::flagsmith::{
    Bucket, FeatureIndex, Origin, Outcome, OutcomeIndex, Reason, Seed, Split, State, StateIndex,
    first_from,
};
use crate::model::flagsmith::{FeatureState, Variant};

/// All states, equal ones once: thousands of identities share a few.
#[derive(Default)]
pub(super) struct States {
    pub(super) list: Vec<State>,
    pub(super) splits: Vec<Split>,
    pub(super) outcomes: Vec<Outcome>,
    known: HashMap<Known, StateIndex>,
}

/// What a state is for.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(super) struct StateKey {
    pub(super) feature: FeatureIndex,
    pub(super) origin: Origin,
    pub(super) reason: Reason,
}

type KnownVariant = (Option<Box<str>>, Box<str>, u64, Box<str>, u128);

#[derive(PartialEq, Eq, Hash)]
struct Known {
    key: StateKey,
    enabled: bool,
    value: Box<str>,
    /// Of states that are split.
    hashing_key: Option<Box<str>>,
    variants: Vec<KnownVariant>,
}

impl States {
    /// `visibility` says whether publishable keys may see the feature at all, and whether they see
    /// those flags only that are on. A state of a multivariate feature is the control for whoever
    /// has an identity, even where nothing is allocated: the vendor's API says so.
    pub(super) fn intern(
        &mut self,
        key: &StateKey,
        state: &FeatureState,
        visibility: (bool, bool),
        is_multivariate: bool,
    ) -> StateIndex {
        let next = StateIndex(self.list.len() as u32);
        let variant = |v: &Variant| {
            let value = v.value.get().into();
            (v.key.clone(), value, v.weight.to_bits(), v.weight_text.clone(), v.priority)
        };
        let is_split = !state.variants.is_empty();
        let known = Known {
            key: key.clone(),
            enabled: state.enabled,
            value: state.value.get().into(),
            hashing_key: is_split.then(|| state.hashing_key.clone()),
            variants: state.variants.iter().map(variant).collect(),
        };
        let found = *self.known.entry(known).or_insert(next);
        if found == next {
            self.add(key, state, visibility, is_multivariate);
        }
        found
    }

    fn add(
        &mut self,
        key: &StateKey,
        state: &FeatureState,
        (public, hide_disabled): (bool, bool),
        is_multivariate: bool,
    ) {
        let first = OutcomeIndex(self.outcomes.len() as u32);
        let whole = Outcome {
            feature: key.feature,
            origin: key.origin,
            enabled: state.enabled,
            value: Arc::clone(&state.value),
            variant: None,
            reason: key.reason.clone(),
            is_public: public && (state.enabled || !hide_disabled),
        };
        self.outcomes.push(whole.clone());
        if state.variants.is_empty() && !is_multivariate {
            self.list.push(State { outcome: first, control: first, split: None });
            return;
        }
        let control = OutcomeIndex(first.0 + 1);
        self.outcomes.push(Outcome { variant: Some("control".into()), ..whole.clone() });
        if state.variants.is_empty() {
            self.list.push(State { outcome: first, control, split: None });
            return;
        }
        let mut variants: Vec<&Variant> = state.variants.iter().collect();
        variants.sort_by_key(|variant| variant.priority);
        let mut buckets = Vec::new();
        let mut start = 0.0;
        for variant in variants {
            let end = start + variant.weight;
            buckets.push(Bucket { first: first_from(start), end: first_from(end) });
            start = end;
            self.outcomes.push(Outcome {
                value: Arc::clone(&variant.value),
                variant: variant.key.clone(),
                reason: Reason::Split(variant.weight_text.clone()),
                ..whole.clone()
            });
        }
        self.splits.push(Split::new(Seed::new(&state.hashing_key), buckets));
        let split = Some(self.splits.len() as u32 - 1);
        self.list.push(State { outcome: first, control, split });
    }
}
