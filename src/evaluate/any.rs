//! Programs and contexts of either family, for dialects whose own rules these are not.
//!
//! The source decides the semantics of rules, whoever asks; what a dialect needs of an evaluation
//! is the same for both (DESIGN section 4). Attributes are written in one vocabulary, a part and a
//! path in it, and each family takes them in its own way:
//!
//! | written | Reflag's rules see | Flagsmith's rules see |
//! |---|---|---|
//! | the user's id | `user.id` | the identifier |
//! | user, `plan` | `user.plan` | trait `plan` |
//! | company, `id` | `company.id` | trait `company.id` |
//! | other, `plan` | `other.plan` | trait `plan`, unless the user's is written later |
//! | null | empty text | nothing |
//! | a number | as JavaScript prints it | as it is |
//! | an object | the paths in it | the paths in it |
//! | an array | its elements by index, or the whole of it (generation 1.1) | its JSON text |

use super::context::ContextError;
use super::flagsmith::{self, FeatureIndex, Scalar, is_path};
use super::{
    EvaluationContext, Evaluator, FlagHeading, FlagIndex, Outcome, OutcomeIndex, Pair, Program,
    Reason, RuleKind, javascript,
};
use crate::json::{Kind, Reader, Text};
use crate::model::KeyClass;
use crate::time::Timestamp;

/// A program of either family.
#[derive(Clone, Copy, Debug)]
pub enum AnyProgram<'a> {
    /// Reflag's rules.
    Reflag(&'a Program),
    /// Flagsmith's rules.
    Flagsmith(&'a flagsmith::Program),
}

impl<'a> AnyProgram<'a> {
    /// All flags, in the source's order.
    pub fn flags(self) -> Vec<FlagHeading<'a>> {
        match self {
            Self::Reflag(program) => program.flags.iter().map(heading_of_flag).collect(),
            Self::Flagsmith(program) => program.features.iter().map(heading_of_feature).collect(),
        }
    }

    /// The flag at a place.
    pub fn flag(self, at: usize) -> FlagHeading<'a> {
        match self {
            Self::Reflag(program) => heading_of_flag(&program.flags[at]),
            Self::Flagsmith(program) => heading_of_feature(&program.features[at]),
        }
    }

    /// The place of the flag of a key.
    pub fn find(self, key: &str) -> Option<usize> {
        match self {
            Self::Reflag(program) => program.find(key).map(|flag| flag.0 as usize),
            Self::Flagsmith(program) => program.find(key).map(|feature| feature.0 as usize),
        }
    }

    /// How many outcomes there are.
    pub fn outcome_count(self) -> usize {
        match self {
            Self::Reflag(program) => program.outcomes.len(),
            Self::Flagsmith(program) => program.outcomes.len(),
        }
    }

    /// One outcome.
    pub fn outcome(self, index: OutcomeIndex) -> Outcome<'a> {
        match self {
            Self::Reflag(program) => outcome_of_pair(program, program.outcomes.pair(index)),
            Self::Flagsmith(program) => described(program.outcome(index)),
        }
    }

    /// Whether keys of a class see a flag that comes to this. Decided once, when the program is
    /// published; this is where dialects ask.
    pub fn is_visible(self, index: OutcomeIndex, class: KeyClass) -> bool {
        match self {
            Self::Reflag(program) => {
                let flag = program.outcomes.pair(index).flag;
                class == KeyClass::Secret || program.flag(flag).public
            }
            Self::Flagsmith(program) => program.is_visible(program.outcome(index), class),
        }
    }

    /// Whether single identities are given this by name. There may be very many such outcomes, and
    /// each is asked for rarely.
    pub fn is_personal(self, index: OutcomeIndex) -> bool {
        match self {
            Self::Reflag(_) => false,
            Self::Flagsmith(program) => {
                program.outcome(index).origin == flagsmith::Origin::Identity
            }
        }
    }
}

fn heading_of_flag(flag: &super::FlagProgram) -> FlagHeading<'_> {
    FlagHeading {
        key: &flag.key,
        version: Some(flag.version),
        id: None,
        has_variants: !flag.variants.is_empty(),
        is_multivariate: flag.variants.len() > 1,
    }
}

fn heading_of_feature(feature: &flagsmith::FeatureProgram) -> FlagHeading<'_> {
    FlagHeading {
        key: &feature.name,
        version: None,
        id: Some(feature.id),
        has_variants: false,
        is_multivariate: &*feature.kind == "MULTIVARIATE",
    }
}

fn outcome_of_pair(program: &Program, Pair { flag, matched, variant }: Pair) -> Outcome<'_> {
    let reason = |kind| match kind {
        RuleKind::Constant => Reason::Static,
        RuleKind::Targeting => Reason::Targeting(None),
        RuleKind::Rollout => Reason::Split(None),
    };
    let chosen = variant.map(|(at, _)| &program.flag(flag).variants[at as usize]);
    Outcome {
        flag: flag.0 as usize,
        enabled: matched.is_some(),
        variant: chosen.map(|variant| &*variant.key),
        value: chosen.and_then(|variant| variant.payload.as_deref()),
        reason: matched.map_or(Reason::Default, reason),
        value_reason: variant.map_or(Reason::Default, |(_, kind)| reason(kind)),
    }
}

fn described(outcome: &flagsmith::Outcome) -> Outcome<'_> {
    let reason = match &outcome.reason {
        // Those whom a split left out have the default for no better reason than that.
        flagsmith::Reason::Default if outcome.variant.is_some() => Reason::Default,
        flagsmith::Reason::Default | flagsmith::Reason::Static => Reason::Static,
        flagsmith::Reason::Segment(name) => Reason::Targeting(Some(name)),
        flagsmith::Reason::Identity => Reason::Targeting(None),
        flagsmith::Reason::Split(weight) => Reason::Split(Some(weight)),
        flagsmith::Reason::CircularDependency => Reason::Circular,
    };
    Outcome {
        flag: outcome.feature.0 as usize,
        enabled: outcome.enabled,
        variant: outcome.variant.as_deref(),
        value: Some(&*outcome.value).filter(|value| value.get() != "null"),
        reason,
        value_reason: reason,
    }
}

/// A context for programs of either family. Reused: [`AnyContext::write`] starts the next one.
#[derive(Debug, Default)]
pub struct AnyContext {
    reflag: EvaluationContext,
    flagsmith: flagsmith::EvaluationContext,
    outcomes: Vec<OutcomeIndex>,
    path: String,
    text: String,
}

impl AnyContext {
    /// Forgets all attributes, takes the shape of `program` and lends what new ones are written
    /// with, for somebody who holds a key of `class`.
    pub fn write<'a>(&'a mut self, program: AnyProgram<'a>, class: KeyClass) -> ContextWriter<'a> {
        let Self { reflag, flagsmith, path, text, .. } = self;
        let target = match program {
            AnyProgram::Reflag(program) => {
                reflag.reset(program);
                Target::Reflag(program, reflag)
            }
            AnyProgram::Flagsmith(program) => {
                flagsmith.reset(program);
                Target::Flagsmith(program, flagsmith)
            }
        };
        ContextWriter { target, class, longest_text: None, path, text }
    }

    /// Evaluates all flags: one outcome per flag, in the source's order. `program` must be the one
    /// that the context was written for.
    pub fn evaluate<'a>(
        &'a mut self,
        program: AnyProgram<'a>,
        now: Timestamp,
    ) -> &'a [OutcomeIndex] {
        match program {
            AnyProgram::Reflag(program) => {
                let mut evaluator = Evaluator::new(program, &mut self.reflag, now);
                evaluator.answer_all();
                self.outcomes.clear();
                let flags = (0..program.flags.len() as u32).map(FlagIndex);
                let outcomes = flags.map(|flag| program.outcomes.evaluate(&mut evaluator, flag));
                self.outcomes.extend(outcomes);
                &self.outcomes
            }
            AnyProgram::Flagsmith(program) => {
                flagsmith::evaluate(program, &mut self.flagsmith).outcomes()
            }
        }
    }

    /// How many matches of patterns and searches by paths the last evaluation gave up: their steps are
    /// bounded. Only Flagsmith's rules have such.
    pub fn given_up(&self, program: AnyProgram<'_>) -> u32 {
        match program {
            AnyProgram::Reflag(_) => 0,
            AnyProgram::Flagsmith(_) => self.flagsmith.given_up(),
        }
    }

    /// What flags come to for somebody whom no rule knows: most of what anybody gets is that.
    pub fn stranger(program: AnyProgram<'_>) -> Vec<OutcomeIndex> {
        let mut context = Self::default();
        context.write(program, KeyClass::Publishable).set_user_id("\u{0}");
        context.evaluate(program, Timestamp(0)).to_vec()
    }

    /// What flags come to for nobody in particular. It does not depend on the moment: rules about
    /// time are about dates that a context has.
    pub fn nobody(program: AnyProgram<'_>) -> Vec<OutcomeIndex> {
        let mut context = Self::default();
        context.write(program, KeyClass::Publishable);
        context.evaluate(program, Timestamp(0)).to_vec()
    }

    /// Evaluates the flag at a place, and no more than it depends on.
    pub fn evaluate_one(
        &mut self,
        program: AnyProgram<'_>,
        flag: usize,
        now: Timestamp,
    ) -> OutcomeIndex {
        match program {
            AnyProgram::Reflag(program) => {
                let mut evaluator = Evaluator::new(program, &mut self.reflag, now);
                program.outcomes.evaluate(&mut evaluator, FlagIndex(flag as u32))
            }
            AnyProgram::Flagsmith(program) => {
                flagsmith::evaluate_one(program, &mut self.flagsmith, FeatureIndex(flag as u32))
            }
        }
    }
}

/// A part of a context.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Who.
    User,
    /// For whom they act.
    Company,
    /// All else.
    Other,
}

impl Part {
    /// What Reflag's attributes of this part begin with, before the dot.
    pub fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Company => "company",
            Self::Other => "other",
        }
    }
}

/// Writes attributes into a context. Of two at one path the later counts.
#[derive(Debug)]
pub struct ContextWriter<'a> {
    target: Target<'a>,
    class: KeyClass,
    /// Most characters of a text that Flagsmith's rules may see; none when nobody asks.
    pub longest_text: Option<usize>,
    /// The trait that is being written.
    path: &'a mut String,
    text: &'a mut String,
}

#[derive(Debug)]
enum Target<'a> {
    Reflag(&'a Program, &'a mut EvaluationContext),
    Flagsmith(&'a flagsmith::Program, &'a mut flagsmith::EvaluationContext),
}

impl ContextWriter<'_> {
    /// Whether Flagsmith's rules will see what is written.
    pub fn is_flagsmith(&self) -> bool {
        matches!(self.target, Target::Flagsmith(..))
    }

    /// Names the user: `user.id`, which with Flagsmith is the identifier and no trait.
    pub fn set_user_id(&mut self, id: &str) {
        match &mut self.target {
            Target::Reflag(program, context) => {
                context.set_text(program, Part::User.name(), "id", |out| out.push_str(id));
            }
            Target::Flagsmith(program, context) => context.set_identity(program, id),
        }
    }

    /// Writes one attribute.
    pub fn set(&mut self, part: Part, path: &str, value: Scalar<'_>) -> Result<(), ContextError> {
        match &mut self.target {
            Target::Reflag(program, context) => {
                context.set_text(program, part.name(), path, |out| print(value, out));
                Ok(())
            }
            Target::Flagsmith(..) => {
                self.path.clear();
                self.push_part(part);
                self.path.push_str(path);
                self.set_trait(value)
            }
        }
    }

    /// Writes the JSON value that comes next at a path, which must be within
    /// [`limits`](super::limits); see [`Bounds`](super::Bounds).
    pub fn set_json(
        &mut self,
        part: Part,
        path: Text<'_>,
        reader: &mut Reader<'_>,
    ) -> Result<(), ContextError> {
        match &mut self.target {
            Target::Reflag(program, context) => {
                context.set_value(program, part.name(), Some(path), reader)
            }
            Target::Flagsmith(..) => {
                self.path.clear();
                self.push_part(part);
                path.unescape_into(self.path);
                self.set_traits(reader)
            }
        }
    }

    /// Writes the members of the JSON object that comes next, which is the part. The user's `id` is
    /// their id.
    pub fn set_part(&mut self, part: Part, reader: &mut Reader<'_>) -> Result<(), ContextError> {
        if let Target::Reflag(program, context) = &mut self.target {
            return context.set_value(program, part.name(), None, reader);
        }
        let mut first = true;
        reader.open_object()?;
        while let Some(name) = reader.next_member(&mut first)? {
            if part == Part::User && name.is("id") {
                self.set_user_id_json(reader)?;
            } else {
                self.set_json(part, name, reader)?;
            }
        }
        Ok(())
    }

    /// Names the user by the JSON scalar that comes next. Null, empty text, objects and lists name
    /// nobody.
    pub fn set_user_id_json(&mut self, reader: &mut Reader<'_>) -> Result<(), ContextError> {
        let mut id = std::mem::take(self.text);
        id.clear();
        match reader.kind()? {
            Kind::String => reader.string()?.unescape_into(&mut id),
            Kind::Number => print(Scalar::Number(reader.number()?), &mut id),
            Kind::True | Kind::False => id.push_str(reader.literal()?),
            Kind::Null | Kind::Object | Kind::Array => reader.skip()?,
        }
        if !id.is_empty() {
            self.set_user_id(&id);
        }
        *self.text = id;
        Ok(())
    }

    fn push_part(&mut self, part: Part) {
        if part == Part::Company {
            self.path.push_str("company.");
        }
    }

    /// Writes the value that comes next at the present path.
    fn set_traits(&mut self, reader: &mut Reader<'_>) -> Result<(), ContextError> {
        match reader.kind()? {
            Kind::Object => return self.set_members(reader),
            Kind::Array => {
                let start = reader.position();
                reader.skip()?;
                let array = reader.since(start).trim_start();
                return self.set_trait(Scalar::Text(array));
            }
            Kind::String => {
                let text = reader.string()?;
                let mut buffer = std::mem::take(self.text);
                buffer.clear();
                text.unescape_into(&mut buffer);
                let done = self.set_trait(Scalar::Text(&buffer));
                *self.text = buffer;
                return done;
            }
            Kind::Number => {
                let number = reader.number()?;
                return self.set_trait(Scalar::Number(number));
            }
            Kind::True | Kind::False => {
                let word = reader.literal()?;
                return self.set_trait(Scalar::Bool(word == "true"));
            }
            Kind::Null => drop(reader.literal()?),
        }
        Ok(())
    }

    fn set_members(&mut self, reader: &mut Reader<'_>) -> Result<(), ContextError> {
        let above = self.path.len();
        let mut first = true;
        reader.open_object()?;
        while let Some(name) = reader.next_member(&mut first)? {
            self.path.push('.');
            name.unescape_into(self.path);
            self.set_traits(reader)?;
            self.path.truncate(above);
        }
        Ok(())
    }

    /// A trait that reads as a path would stand in for what the path points to, so it counts only
    /// from those who hold a secret key (DESIGN section 4).
    fn set_trait(&mut self, value: Scalar<'_>) -> Result<(), ContextError> {
        let Target::Flagsmith(program, context) = &mut self.target else { return Ok(()) };
        let name = self.path.as_str();
        if let (Scalar::Text(text), Some(longest)) = (value, self.longest_text)
            && text.len() > longest
            && text.chars().count() > longest
        {
            return Err(ContextError::TextTooLong(longest));
        }
        let may_be_sent = self.class == KeyClass::Secret || !is_path(name);
        if may_be_sent && value != Scalar::Null {
            context.set_trait(program, name, value);
        }
        Ok(())
    }
}

/// Appends a scalar as it stands in a flat context.
fn print(value: Scalar<'_>, out: &mut String) {
    match value {
        Scalar::Null => {}
        Scalar::Bool(value) => out.push_str(if value { "true" } else { "false" }),
        Scalar::Number(number) => javascript::number::write_json(number, out),
        Scalar::Text(text) => out.push_str(text),
    }
}
