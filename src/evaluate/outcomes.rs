//! Whatever the flags of Reflag's rules can come to, numbered.
//!
//! A flag is on or off by one rule list and has its variant by another, so what it comes to is a
//! pair. Which rule matched does not tell outcomes apart, only what kind of rule it was.

use super::{
    AnswerIndex, Check, Evaluator, FlagIndex, OutcomeIndex, Program, RuleList, Test,
    threshold_bucket,
};

/// Rule lists up to this long are looked up by the bits of their rules' results.
const LOOKED_UP: usize = 3;

/// A threshold that leaves nobody out, in 1/1000 of a percent.
const EVERYBODY: f64 = 100_000.0;

/// The numbers of a program's outcomes.
#[derive(Debug, Default)]
pub struct Outcomes {
    flags: Vec<Numbering>,
    pairs: Vec<Pair>,
    /// Parts of numbers, by what a list says; see [`Column`].
    parts: Vec<u32>,
}

/// What a flag's two lists came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pair {
    /// The flag.
    pub flag: FlagIndex,
    /// What kind of rule turned it on; none when none did.
    pub matched: Option<RuleKind>,
    /// Which variant was chosen, and by what kind of rule.
    pub variant: Option<(u32, RuleKind)>,
}

/// What a rule asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleKind {
    /// Nothing: it holds for everybody.
    Constant,
    /// Something about the context.
    Targeting,
    /// Among other things, whether the context falls into a share below 100 %.
    Rollout,
}

/// How a flag's pairs are numbered: the part of its targeting and the part of its config add up.
#[derive(Debug)]
struct Numbering {
    first: u32,
    targeting: Column,
    config: Option<Column>,
}

/// Where the parts of one rule list are.
#[derive(Clone, Copy, Debug)]
struct Column {
    list: RuleList,
    /// The rules' answers when all of them are numbered, and the first of their parts by bits.
    /// Lists with fewer rules end with constants.
    looked_up: Option<([AnswerIndex; LOOKED_UP], u32)>,
    /// The first of the parts by the rule that matched; the last is for none.
    by_match: u32,
}

impl Outcomes {
    /// Numbers the outcomes of a program that is complete otherwise.
    pub(crate) fn number(program: &Program) -> Self {
        let mut outcomes = Self::default();
        for (flag, compiled) in program.flags() {
            let rules = matches(program, compiled.targeting);
            let mut kinds: Vec<Option<RuleKind>> = Vec::new();
            for &(_, kind) in &rules {
                if !kinds.contains(&kind) {
                    kinds.push(kind);
                }
            }
            let config = compiled.config.map(|list| (list, matches(program, list)));
            let variants = match &config {
                Some((_, rules)) => rules.iter().map(|&(at, kind)| Some((at?, kind?))).collect(),
                None => vec![None],
            };
            let first = outcomes.pairs.len() as u32;
            for &matched in &kinds {
                let pair = |&variant| Pair { flag, matched, variant };
                outcomes.pairs.extend(variants.iter().map(pair));
            }
            let row = |kind: Option<RuleKind>| kinds.iter().position(|known| *known == kind);
            let width = variants.len();
            let parts = rules.iter().map(|&(at, kind)| (at, row(kind).unwrap_or(0) * width));
            let targeting = outcomes.column(program, compiled.targeting, parts);
            let config = config.map(|(list, rules)| {
                let parts = rules.iter().enumerate().map(|(part, &(at, _))| (at, part));
                outcomes.column(program, list, parts)
            });
            outcomes.flags.push(Numbering { first, targeting, config });
        }
        outcomes
    }

    /// Adds the column of a list with the parts of the matches that it can have.
    fn column(
        &mut self,
        program: &Program,
        list: RuleList,
        matches: impl Iterator<Item = (Option<u32>, usize)>,
    ) -> Column {
        // By the rule that matched, then for none. What cannot be is never asked for.
        let mut parts = vec![0; list.len as usize + 1];
        for (at, part) in matches {
            parts[at.unwrap_or(list.len) as usize] = part as u32;
        }
        let answers = program.answers(list).filter(|answers| answers.len() <= LOOKED_UP);
        let looked_up = answers.map(|answers| {
            let mut rules = [program.constant(false); LOOKED_UP];
            rules[..answers.len()].copy_from_slice(&answers);
            let first = self.parts.len() as u32;
            for bits in 0_usize..1 << LOOKED_UP {
                let first_match = bits.trailing_zeros().min(list.len);
                self.parts.push(parts[first_match as usize]);
            }
            (rules, first)
        });
        let by_match = self.parts.len() as u32;
        self.parts.extend_from_slice(&parts);
        Column { list, looked_up, by_match }
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.pairs.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.pairs.is_empty()
    }

    /// What an outcome is.
    pub fn pair(&self, index: OutcomeIndex) -> Pair {
        self.pairs[index.0 as usize]
    }

    /// Evaluates a flag. Cheap once [`Evaluator::answer_all`] was called.
    pub fn evaluate(&self, evaluator: &mut Evaluator<'_>, flag: FlagIndex) -> OutcomeIndex {
        let numbering = &self.flags[flag.0 as usize];
        let targeting = self.part(evaluator, numbering.targeting);
        let config = numbering.config.map_or(0, |column| self.part(evaluator, column));
        OutcomeIndex(numbering.first + targeting + config)
    }

    #[inline]
    fn part(&self, evaluator: &mut Evaluator<'_>, column: Column) -> u32 {
        if let Some((rules, first)) = column.looked_up
            && let Some(bits) = evaluator.results(rules)
        {
            return self.parts[first as usize + bits as usize];
        }
        let matched = evaluator.evaluate(column.list).matched;
        self.parts[column.by_match as usize + matched.unwrap_or(column.list.len) as usize]
    }
}

/// The rules that can be the first to match, with what they ask, and whether none may.
fn matches(program: &Program, list: RuleList) -> Vec<(Option<u32>, Option<RuleKind>)> {
    let mut matches = Vec::new();
    for (root, at) in program.roots(list).into_iter().zip(0..) {
        match program.nodes[root as usize].test {
            Test::Constant(false) => {}
            Test::Constant(true) => {
                matches.push((Some(at), Some(RuleKind::Constant)));
                return matches;
            }
            _ => matches.push((Some(at), Some(kind(program, root)))),
        }
    }
    matches.push((None, None));
    matches
}

fn kind(program: &Program, root: u32) -> RuleKind {
    let everybody = threshold_bucket(EVERYBODY);
    let end = program.nodes[root as usize].end;
    let leaves = program.nodes[root as usize..end as usize].iter().filter_map(|node| {
        let Test::Attribute(leaf) = node.test else { return None };
        Some(program.leaves[leaf.0 as usize].check)
    });
    leaves.fold(RuleKind::Constant, |kind, check| match (kind, check) {
        (_, Check::Rollout(_, end)) if end < everybody => RuleKind::Rollout,
        (RuleKind::Rollout, _) => RuleKind::Rollout,
        _ => RuleKind::Targeting,
    })
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;
    use crate::compile::{Policy, compile};
    use crate::dialect::reflag::definitions;
    use crate::evaluate::EvaluationContext;
    use crate::time::Timestamp;

    const DOCUMENT: &str = r#"{"features":[
        {"key":"off","targeting":{"version":1,"rules":[]}},
        {"key":"on","targeting":{"version":1,"rules":[{"filter":{"type":"constant","value":true}}]}},
        {"key":"many","targeting":{"version":1,"rules":[
            {"filter":{"type":"context","field":"a","operator":"IS","values":["0"]}},
            {"filter":{"type":"context","field":"a","operator":"IS","values":["1"]}},
            {"filter":{"type":"context","field":"b","operator":"SET"}},
            {"filter":{"type":"rolloutPercentage","key":"k","partialRolloutAttribute":"a",
                       "partialRolloutThreshold":99999}},
            {"filter":{"type":"constant","value":true}}]},
         "config":{"version":1,"variants":[
            {"key":"x","payload":1,
             "filter":{"type":"context","field":"a","operator":"IS","values":["1"]}},
            {"key":"y","payload":2,"filter":{"type":"constant","value":true}}]}}]}"#;

    fn pairs(context: &str) -> Vec<Pair> {
        let ruleset = definitions::read(&Bytes::from(DOCUMENT)).unwrap();
        let program = compile(&ruleset, &Policy::default()).program;
        let evaluate = |answered| {
            let mut held = EvaluationContext::new();
            held.reset(&program);
            held.set_json(&program, context).unwrap();
            let mut evaluator = Evaluator::new(&program, &mut held, Timestamp(0));
            if answered {
                evaluator.answer_all();
            }
            let flags = program.flags().map(|(flag, _)| flag);
            let outcomes = flags.map(|flag| program.outcomes.evaluate(&mut evaluator, flag));
            outcomes.map(|index| program.outcomes.pair(index)).collect::<Vec<_>>()
        };
        assert_eq!(evaluate(true), evaluate(false));
        evaluate(true)
    }

    #[test]
    fn an_outcome_tells_what_kind_of_rule_decided() {
        use RuleKind::{Constant, Rollout, Targeting};
        let many = |context: &str| {
            let pairs = pairs(context);
            assert_eq!((pairs[0].matched, pairs[1].matched), (None, Some(Constant)));
            (pairs[2].matched, pairs[2].variant)
        };
        assert_eq!(many(r#"{"a":"1"}"#), (Some(Targeting), Some((0, Targeting))));
        assert_eq!(many(r#"{"a":"7"}"#), (Some(Rollout), Some((1, Constant))));
        assert_eq!(many("{}"), (Some(Constant), Some((1, Constant))));
    }

    #[test]
    fn what_cannot_be_has_no_number() {
        let ruleset = definitions::read(&Bytes::from(DOCUMENT)).unwrap();
        let outcomes = compile(&ruleset, &Policy::default()).program.outcomes;
        // One for `off`, one for `on`; `many` is always on and always has a variant.
        assert_eq!(outcomes.len(), 2 + 3 * 2);
    }
}
