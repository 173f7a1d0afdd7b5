//! Lowers a Flagsmith environment into a program.
//!
//! Whatever can be decided before a request arrives is decided here: traits and paths become slots,
//! operands are read as every type that they could be compared with, equality and membership become
//! rows of a table, percentages become remainders, and everything that a feature can come to is
//! numbered. Never reads a clock, a socket or a file, and never fails: a condition that cannot be
//! compiled never holds, with a diagnostic.

mod conditions;
mod rules;
mod states;

use std::collections::{BTreeMap, HashMap};

use crate::evaluate::Places;
use crate::evaluate::flagsmith::{
    Candidate, Check, Draw, FeatureIndex, FeatureProgram, Identities, LeafIndex, Origin, Override,
    Program, Property, Reason, SegmentIndex, SegmentProgram, StateIndex,
};
use crate::model::flagsmith::{Environment, FeatureState, Segment};

use self::conditions::Conditions;
pub(crate) use self::conditions::members;
use self::rules::Rules;
use self::states::{StateKey, States};

/// What the environment's settings say about its rules.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// Whether segments apply to requests without an identity, as they do in the vendor's Python
    /// proxy.
    pub segments_without_identity: bool,
    /// Whether features that no segment overrides are reported as `STATIC`, as the vendor's engine
    /// does from version 11 on.
    pub static_reason: bool,
}

/// A program and what was odd about its rules.
#[derive(Debug, Default)]
pub struct Compiled {
    /// Ready to be evaluated.
    pub program: Program,
    /// One line per oddity; what can be served is served all the same.
    pub diagnostics: Vec<String>,
    /// Per segment: the flags that its rules ask for.
    pub asks: Vec<Vec<FeatureIndex>>,
}

/// Compiles an environment.
pub fn compile(environment: &Environment, policy: &Policy) -> Compiled {
    compile_with(environment, &[], policy)
}

/// Compiles an environment with further segments behind its own. Those may override nothing, and no
/// rule can see them: they are there to be asked who belongs to them.
pub fn compile_with(environment: &Environment, probes: &[Segment], policy: &Policy) -> Compiled {
    debug_assert!(probes.iter().all(|probe| probe.overrides.is_empty()));
    let segments: Vec<&Segment> = environment.segments.iter().chain(probes).collect();
    let names: HashMap<&str, FeatureIndex> = environment
        .features
        .iter()
        .zip(0..)
        .map(|(feature, at)| (&*feature.state.feature, FeatureIndex(at)))
        .collect();
    let mut conditions = Conditions::new(environment, &names);
    let rules = Rules::compile(environment, &segments, &names, &mut conditions);
    let mut compiler = Compiler { environment, policy, names: &names, states: States::default() };
    let (features, candidates) = compiler.features(&rules);
    let identities = compiler.identities(&features);
    let States { list: states, splits, outcomes, .. } = compiler.states;
    let keys: Vec<&str> = features.iter().map(|feature| &*feature.name).collect();
    let places = Places::new(&keys);
    let mut program = Program {
        identity_key_prefix: format!("{}_", environment.key).into(),
        segments_without_identity: policy.segments_without_identity,
        hide_disabled_from_servers: environment.hide_disabled_from_servers,
        nodes: rules.nodes,
        segments: segments
            .iter()
            .zip(&rules.roots)
            .map(|(segment, &root)| SegmentProgram {
                name: segment.name.clone(),
                root,
                overrides: (0, 0),
            })
            .collect(),
        features,
        candidates,
        states,
        splits,
        outcomes,
        identities,
        places,
        ..Program::default()
    };
    let diagnostics = conditions.finish(environment, &mut program);
    add_overrides_by_segment(&mut program);
    add_defaults(&mut program);
    add_draws(&mut program);
    Compiled { program, diagnostics, asks: rules.asks }
}

/// Lists the candidates of each segment, beside those of each feature.
fn add_overrides_by_segment(program: &mut Program) {
    let mut overrides: Vec<(SegmentIndex, FeatureIndex, u32)> = Vec::new();
    for (feature, compiled) in program.features().filter(|(_, feature)| !feature.is_circular) {
        let (first, end) = compiled.candidates;
        overrides
            .extend((first..end).map(|at| (program.candidates[at as usize].segment, feature, at)));
    }
    overrides.sort_unstable();
    for (segment, index) in program.segments.iter_mut().zip(0..) {
        let place = |index| overrides.partition_point(|(of, ..)| of.0 < index) as u32;
        segment.overrides = (place(index), place(index + 1));
    }
    let given = overrides.into_iter().map(|(_, feature, candidate)| {
        let at = program.candidates[candidate as usize].state;
        Override { feature, candidate, at, state: program.states[at.0 as usize] }
    });
    program.overrides = given.collect();
}

fn add_defaults(program: &mut Program) {
    let states = || program.features.iter().map(|f| &program.states[f.state.0 as usize]);
    program.defaults =
        [states().map(|state| state.control).collect(), states().map(|s| s.outcome).collect()];
}

/// Everything that is hashed with the key of every identity: the shares that segments ask for, and
/// the splits of features that nothing overrides.
fn add_draws(program: &mut Program) {
    let shares = program.leaves.iter().zip(0..).filter_map(|(leaf, index)| match leaf.check {
        Check::Split(seed, end)
            if program.properties[leaf.slot.0 as usize] == Property::IdentityKey =>
        {
            Some(Draw::Share(LeafIndex(index), seed, end))
        }
        _ => None,
    });
    let variants = program.features().filter_map(|(index, feature)| {
        let split = program.states[feature.state.0 as usize].split?;
        Some(Draw::Variant(index, feature.state, split))
    });
    program.draws = shares.chain(variants).collect();
}

struct Compiler<'a> {
    environment: &'a Environment,
    policy: &'a Policy,
    names: &'a HashMap<&'a str, FeatureIndex>,
    states: States,
}

impl Compiler<'_> {
    fn features(&mut self, rules: &Rules) -> (Vec<FeatureProgram>, Vec<Candidate>) {
        let environment = self.environment;
        let mut overrides: BTreeMap<FeatureIndex, Vec<(f64, Candidate)>> = BTreeMap::new();
        for (segment, index) in environment.segments.iter().zip(0..) {
            for (overriding, at) in segment.overrides.iter().zip(0..) {
                let Some(&feature) = self.names.get(&*overriding.state.feature) else { continue };
                let origin = Origin::Segment(SegmentIndex(index), at);
                let reason = Reason::Segment(segment.name.clone());
                let state = self.state(feature, &overriding.state, origin, reason);
                let priority = overriding.priority.unwrap_or(f64::INFINITY);
                let candidate = Candidate { segment: SegmentIndex(index), state };
                overrides.entry(feature).or_default().push((priority, candidate));
            }
        }
        let mut features = Vec::new();
        let mut candidates = Vec::new();
        for (feature, index) in environment.features.iter().zip(0..) {
            let index = FeatureIndex(index);
            let mut own = overrides.remove(&index).unwrap_or_default();
            // The strongest first; of equally strong ones the first that the vendor's engine sees.
            own.sort_by(|(a, _), (b, _)| a.total_cmp(b));
            let is_circular = rules.circular.contains(&index);
            let reason = match (is_circular, own.is_empty() && self.policy.static_reason) {
                (true, _) => Reason::CircularDependency,
                (false, true) => Reason::Static,
                (false, false) => Reason::Default,
            };
            let state = if is_circular {
                let whole = FeatureState { variants: vec![], ..feature.state.clone() };
                self.state(index, &whole, Origin::Environment, reason)
            } else {
                self.state(index, &feature.state, Origin::Environment, reason)
            };
            let first = candidates.len() as u32;
            candidates.extend(own.into_iter().map(|(_, candidate)| candidate));
            features.push(FeatureProgram {
                name: feature.state.feature.clone(),
                id: feature.id,
                kind: feature.kind.clone(),
                server_key_only: environment.server_key_only.contains(&feature.id),
                state,
                candidates: (first, candidates.len() as u32),
                is_circular,
            });
        }
        (features, candidates)
    }

    /// Features that depend on themselves stay on their default for everybody.
    fn identities(&mut self, features: &[FeatureProgram]) -> Identities {
        let environment = self.environment;
        // In a fixed order, so that equal documents give equal programs.
        let sorted: BTreeMap<_, _> = environment.identity_overrides.iter().collect();
        let mut identities = Identities::default();
        for (identifier, overrides) in sorted {
            let mut states: Vec<(FeatureIndex, StateIndex)> = Vec::new();
            for state in overrides {
                let Some(&feature) = self.names.get(&*state.feature) else { continue };
                // Of two overrides of one feature the first counts, as of equal priorities.
                let is_new = states.iter().all(|(known, _)| *known != feature);
                if is_new && !features[feature.0 as usize].is_circular {
                    let index = self.state(feature, state, Origin::Identity, Reason::Identity);
                    states.push((feature, index));
                }
            }
            states.sort_unstable();
            identities.add(identifier, &states);
        }
        identities
    }

    fn state(
        &mut self,
        feature: FeatureIndex,
        state: &FeatureState,
        origin: Origin,
        reason: Reason,
    ) -> StateIndex {
        let definition = &self.environment.features[feature.0 as usize];
        let hidden = self.environment.server_key_only.contains(&definition.id);
        let visibility = (!hidden, self.environment.hide_disabled_flags);
        let is_multivariate =
            &*definition.kind == "MULTIVARIATE" && reason != Reason::CircularDependency;
        let key = StateKey { feature, origin, reason };
        self.states.intern(&key, state, visibility, is_multivariate)
    }
}

#[cfg(test)]
mod tests;
