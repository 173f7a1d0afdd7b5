//! What is made of Reflag's rules when they are published.

use std::sync::Arc;

use bytes::Bytes;

use super::content::CLASSES;
use super::flagsmith::EnvironmentFlags;
use super::{PreparedBody, Profile, class_index};
use crate::compile::{Compiled, compile};
use crate::dialect::flagsmith::Flags;
use crate::dialect::reflag::{Answer, Answers, Selection, definitions};
use crate::evaluate::{AnyProgram, EvaluationContext, Evaluator, Program};
use crate::model::{KeyClass, Ruleset, Version};
use crate::time::Timestamp;

/// Rules in Reflag's words, compiled, and pieces of answers.
#[derive(Debug)]
pub struct ReflagContent {
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
    /// Pieces of Flagsmith answers.
    pub flags: Flags,
    /// `GET flags/` by class of keys.
    pub environment_flags: EnvironmentFlags,
}

impl ReflagContent {
    pub(super) fn prepare(
        ruleset: Ruleset,
        version: Version,
        profile: &Profile,
        tag_seeds: [u64; 2],
        document_tag: u64,
    ) -> (Self, Vec<String>) {
        let Compiled { program, diagnostics } = compile(&ruleset, &profile.policy);
        let answers = Answers::prepare(&ruleset, &program, version);
        let document = definitions::write(&ruleset, &profile.policy, version);
        let evaluated = CLASSES.map(|class| {
            let seed = tag_seeds[class_index(class)];
            answers.is_constant(class).then(|| prepare_evaluated(&answers, &program, class, seed))
        });
        let any = AnyProgram::Reflag(&program);
        let flags = Flags::prepare(any);
        let environment_flags = EnvironmentFlags::new(
            document_tag,
            CLASSES.map(|class| flags.all(any, class)),
            flags.each(any).map(Bytes::from),
            CLASSES.map(|class| flags.visible(class)),
        );
        let content = Self {
            ruleset: Arc::new(ruleset),
            program,
            answers,
            definitions: PreparedBody::new(document, document_tag),
            evaluated,
            flags,
            environment_flags,
        };
        (content, diagnostics)
    }

    pub(super) fn compress(&self) {
        self.definitions.compress();
        self.evaluated.iter().flatten().for_each(PreparedBody::compress);
        self.environment_flags.compress();
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
