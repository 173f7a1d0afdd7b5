//! Answers of `/features/evaluated` and `/features/enabled`, put together from pieces that were
//! made when the program was published (reflag-runtime.md section 5).
//!
//! Of a flag with up to [`SPELLED_RULES`] rules every possible outcome is spelled out beforehand,
//! so that answering copies one piece of text for it, or two when it has remote config. Flags that
//! depend on nothing are joined with their neighbours into one piece. What remains to be written
//! at request time is the outcome of long rule lists and the names of missing attributes.

use std::hash::{BuildHasher, Hasher};
use std::ops::Range;

use foldhash::fast::FixedState;

use crate::dialect::tag::mix;
use crate::evaluate::{
    AnswerIndex, Attributes, EvaluationContext, Evaluator, FlagIndex, Program, RuleList,
    RuleOutcome, Slot,
};
use crate::json::write_string;
use crate::model::{Flag, KeyClass, RemoteConfig, Ruleset, Variant, Version};
use crate::time::Timestamp;

/// Rule lists up to this long have all their outcomes spelled out (2^3 of them).
const SPELLED_RULES: u32 = 3;
/// But no more text than this for one list: payloads may be large.
const SPELLED_BYTES: usize = 64 * 1024;

/// Which flags an answer shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Selection<'a> {
    /// All that the key may see.
    All,
    /// Those of them that are on.
    Enabled,
    /// This one, when the key may see it.
    One(&'a str),
    /// This one, when the key may see it and it is on.
    OneEnabled(&'a str),
}

impl<'a> Selection<'a> {
    /// Narrowed to the flag that was asked for, if one was.
    #[must_use]
    pub fn of(self, flag: Option<&'a str>) -> Self {
        match (self, flag) {
            (selection, None) => selection,
            (Self::Enabled | Self::OneEnabled(_), Some(key)) => Self::OneEnabled(key),
            (Self::All | Self::One(_), Some(key)) => Self::One(key),
        }
    }

    /// Whether it is about one flag.
    pub fn is_one(self) -> bool {
        matches!(self, Self::One(_) | Self::OneEnabled(_))
    }
}

/// The pieces of one environment's answers.
#[derive(Debug)]
pub struct Answers {
    text: String,
    head: Piece,
    pieces: Vec<Piece>,
    lists: Vec<Outcomes>,
    flags: Vec<FlagLists>,
    publishable: Plan,
    secret: Plan,
    /// Length of the longest answer in which nothing is missing.
    longest: usize,
}

/// A part of [`Answers::text`] and its hash.
#[derive(Clone, Copy, Debug)]
struct Piece {
    start: u32,
    end: u32,
    hash: u64,
}

/// How an answer for all flags is made for one class of keys.
#[derive(Debug, Default)]
struct Plan {
    /// In the source's order.
    steps: Vec<Step>,
    /// The flags that the class may see.
    visible: Vec<FlagIndex>,
}

/// Place of a rule list in [`Answers::lists`].
type ListIndex = u32;

#[derive(Clone, Copy, Debug)]
enum Step {
    /// Neighbouring flags that depend on nothing.
    Joined(Piece),
    /// What a list says, all outcomes of which are spelled out and all rules of which are answered
    /// with the others: their bits choose the piece. Lists with fewer rules end with constants.
    Chosen { rules: [AnswerIndex; SPELLED_RULES as usize], first: u32, list: ListIndex },
    /// What a list says that has to be walked.
    Walked(ListIndex),
}

/// The lists of a flag.
#[derive(Clone, Copy, Debug)]
struct FlagLists {
    targeting: ListIndex,
    config: Option<ListIndex>,
}

/// How to write what a rule list said. All pieces of an environment lie in one run
/// ([`Answers::pieces`]), in the order in which they are asked for.
#[derive(Clone, Copy, Debug)]
struct Outcomes {
    list: RuleList,
    /// Index of the first piece. First come the spelled outcomes, by the bits of the rules' results;
    /// they hold when nothing is missing.
    first: u32,
    /// How many outcomes are spelled out; none when there would be too many.
    spelled: u32,
    /// Index of what is written first otherwise, by the rule that matched; behind them that for
    /// none, and then what is written last: when no rule matched, and when one did.
    openings: u32,
}

/// Where an answer is written. Reused: what it holds beside the body needs no new memory then.
#[derive(Debug, Default)]
pub struct Answer {
    /// The body.
    pub body: Vec<u8>,
    /// Hash of the chosen pieces: equal bodies have equal tags.
    pub tag: u64,
    /// What of [`Answers::text`] is to be copied next. Pieces that lie behind each other are copied
    /// as one.
    run: Range<usize>,
}

impl Answers {
    /// Prepares the answers of a compiled ruleset.
    pub fn prepare(ruleset: &Ruleset, program: &Program, version: Version) -> Self {
        let mut text = Spelling::default();
        let head = text.piece(|out| {
            out.push_str("{\"success\":true,\"remoteContextUsed\":false,\"flagStateVersion\":");
            out.push_str(&version.to_string());
            out.push_str(",\"features\":");
        });
        let (mut lists, mut flags) = (Vec::new(), Vec::new());
        for (flag, compiled) in ruleset.flags.iter().zip(&program.flags) {
            let targeting = lists.len() as u32;
            lists.push(text.targeting(flag, compiled.targeting, compiled.config.is_some()));
            let config = flag.config.as_ref().zip(compiled.config).map(|(config, list)| {
                lists.push(text.config(config, list));
                lists.len() as u32 - 1
            });
            flags.push(FlagLists { targeting, config });
        }
        let longest = lists.iter().map(|list| text.longest(list)).sum::<usize>() + 128;
        let mut answers = Self {
            longest,
            text: text.text,
            pieces: text.pieces,
            head,
            lists,
            flags,
            publishable: Plan::default(),
            secret: Plan::default(),
        };
        answers.publishable = answers.plan(program, KeyClass::Publishable);
        answers.secret = answers.plan(program, KeyClass::Secret);
        answers.lay_out(program);
        answers
    }

    fn plan(&mut self, program: &Program, class: KeyClass) -> Plan {
        let mut plan = Plan::default();
        let mut joined: Vec<FlagIndex> = Vec::new();
        for (index, flag) in program.flags() {
            if class == KeyClass::Publishable && !flag.public {
                continue;
            }
            plan.visible.push(index);
            let constant = program.is_constant(flag.targeting)
                && flag.config.is_none_or(|config| program.is_constant(config));
            if constant {
                joined.push(index);
            } else {
                plan.steps.extend(self.join(program, &mut joined));
                let lists = self.flags[index.0 as usize];
                let lists = [Some(lists.targeting), lists.config].into_iter().flatten();
                plan.steps.extend(lists.map(|list| self.step(program, list)));
            }
        }
        plan.steps.extend(self.join(program, &mut joined));
        plan
    }

    fn step(&self, program: &Program, index: ListIndex) -> Step {
        let list = &self.lists[index as usize];
        let answers = program.answers(list.list).filter(|_| list.spelled > 0);
        answers.map_or(Step::Walked(index), |answers| {
            let mut rules = [program.constant(false); SPELLED_RULES as usize];
            rules[..answers.len()].copy_from_slice(&answers);
            Step::Chosen { rules, first: list.first, list: index }
        })
    }

    /// Lays the text out so that what a stranger gets, whom no rule knows, lies in one run: most of
    /// what anybody gets is that.
    fn lay_out(&mut self, program: &Program) {
        let from = std::mem::take(&mut self.text);
        let mut to = String::with_capacity(from.len());
        let mut moved = |piece: &mut Piece| {
            let start = to.len() as u32;
            to.push_str(&from[piece.start as usize..piece.end as usize]);
            *piece = Piece { start, end: to.len() as u32, ..*piece };
        };
        moved(&mut self.head);
        let mut context = EvaluationContext::new();
        context.reset(program);
        context.fill_with_unknown(program);
        let mut evaluator = Evaluator::new(program, &mut context, Timestamp(0));
        let mut placed = vec![false; self.pieces.len()];
        for step in &mut self.publishable.steps {
            match step {
                Step::Joined(piece) => moved(piece),
                Step::Chosen { list, .. } | Step::Walked(list) => {
                    let list = &self.lists[*list as usize];
                    let bits = evaluator.evaluate(list.list).bits;
                    if bits < u64::from(list.spelled) {
                        let place = list.first as usize + bits as usize;
                        moved(&mut self.pieces[place]);
                        placed[place] = true;
                    }
                }
            }
        }
        for step in &mut self.secret.steps {
            if let Step::Joined(piece) = step {
                moved(piece);
            }
        }
        for (piece, placed) in self.pieces.iter_mut().zip(placed) {
            if !placed {
                moved(piece);
            }
        }
        self.text = to;
    }

    /// Evaluates flags that depend on nothing, once for all requests.
    fn join(&mut self, program: &Program, flags: &mut Vec<FlagIndex>) -> Option<Step> {
        if flags.is_empty() {
            return None;
        }
        let mut context = EvaluationContext::new();
        context.reset(program);
        // Neither context nor moment is asked for.
        let mut evaluator = Evaluator::new(program, &mut context, Timestamp(0));
        let mut answer = Answer::default();
        for index in flags.drain(..) {
            self.write_flag(index, &mut evaluator, &mut answer);
        }
        self.flush(&mut answer);
        let start = self.text.len() as u32;
        self.text.push_str(&String::from_utf8_lossy(&answer.body));
        Some(Step::Joined(Piece { start, end: self.text.len() as u32, hash: answer.tag }))
    }

    /// Whether the answer for all flags is the same for everybody at any time.
    pub fn is_constant(&self, class: KeyClass) -> bool {
        self.visible(class).steps.iter().all(|step| matches!(step, Step::Joined(_)))
    }

    /// Room for an answer for all flags. One in which attributes are missing may be longer.
    pub fn longest(&self) -> usize {
        self.longest
    }

    fn visible(&self, class: KeyClass) -> &Plan {
        match class {
            KeyClass::Publishable => &self.publishable,
            KeyClass::Secret => &self.secret,
        }
    }

    /// Evaluates and writes the flags that `selection` asks for and `class` may see. `seed` is
    /// what else the tag of the answer depends on.
    pub fn write(
        &self,
        class: KeyClass,
        selection: Selection<'_>,
        evaluator: &mut Evaluator<'_>,
        seed: u64,
        answer: &mut Answer,
    ) {
        answer.body.clear();
        answer.tag = seed;
        answer.run = 0..0;
        self.copy(self.head, answer);
        self.flush(answer);
        let open = answer.body.len();
        let plan = self.visible(class);
        match selection {
            Selection::All => self.write_all(plan, evaluator, answer),
            Selection::Enabled => {
                for &index in &plan.visible {
                    self.write_if_enabled(index, evaluator, answer);
                }
            }
            Selection::One(key) => {
                if let Some(index) = find(key, class, evaluator.program()) {
                    self.write_flag(index, evaluator, answer);
                }
            }
            Selection::OneEnabled(key) => {
                if let Some(index) = find(key, class, evaluator.program()) {
                    self.write_if_enabled(index, evaluator, answer);
                }
            }
        }
        self.flush(answer);
        // Each flag starts with a comma; the first one's is the brace.
        match answer.body.get_mut(open) {
            Some(comma) => *comma = b'{',
            None => answer.body.push(b'{'),
        }
        answer.body.extend_from_slice(b"}}");
    }

    fn write_all(&self, plan: &Plan, evaluator: &mut Evaluator<'_>, answer: &mut Answer) {
        evaluator.answer_all();
        for step in &plan.steps {
            match *step {
                Step::Joined(piece) => self.copy(piece, answer),
                Step::Chosen { rules, first, list } => match evaluator.results(rules) {
                    Some(bits) => self.copy(self.pieces[first as usize + bits as usize], answer),
                    None => drop(self.write_list(list, evaluator, answer)),
                },
                Step::Walked(list) => drop(self.write_list(list, evaluator, answer)),
            }
        }
    }

    fn write_if_enabled(
        &self,
        index: FlagIndex,
        evaluator: &mut Evaluator<'_>,
        answer: &mut Answer,
    ) {
        self.flush(answer);
        let (body, tag) = (answer.body.len(), answer.tag);
        if !self.write_flag(index, evaluator, answer) {
            answer.run = 0..0;
            answer.body.truncate(body);
            answer.tag = tag;
        }
    }

    /// Evaluates a flag, writes `,"key":{...}` and tells whether the flag is on.
    fn write_flag(
        &self,
        index: FlagIndex,
        evaluator: &mut Evaluator<'_>,
        answer: &mut Answer,
    ) -> bool {
        let flag = self.flags[index.0 as usize];
        let enabled = self.write_list(flag.targeting, evaluator, answer);
        if let Some(config) = flag.config {
            self.write_list(config, evaluator, answer);
        }
        enabled
    }

    /// Evaluates a list, writes what it said and tells whether a rule matched.
    fn write_list(
        &self,
        index: ListIndex,
        evaluator: &mut Evaluator<'_>,
        answer: &mut Answer,
    ) -> bool {
        let list = &self.lists[index as usize];
        let outcome = evaluator.evaluate(list.list);
        let matched = outcome.matched.is_some();
        if outcome.missing.is_empty() && outcome.bits < u64::from(list.spelled) {
            self.copy(self.pieces[list.first as usize + outcome.bits as usize], answer);
        } else {
            self.spell(list, evaluator, answer);
        }
        matched
    }

    /// Writes an outcome that was not spelled out beforehand.
    #[inline(never)]
    fn spell(&self, outcomes: &Outcomes, evaluator: &Evaluator<'_>, answer: &mut Answer) {
        self.flush(answer);
        let start = answer.body.len();
        let outcome = evaluator.outcome();
        let rules = outcomes.list.len;
        let openings = &self.pieces[outcomes.openings as usize..];
        let opening = openings[outcome.matched.unwrap_or(rules) as usize];
        self.copy(opening, answer);
        self.flush(answer);
        if opening.start != opening.end {
            write_results(outcome, rules, &mut answer.body);
            write_missing(&outcome.missing, &evaluator.program().attributes, &mut answer.body);
        }
        let closing = rules as usize + 1 + usize::from(outcome.matched.is_some());
        self.copy(openings[closing], answer);
        self.flush(answer);
        answer.tag = mix(answer.tag, hash(&answer.body[start..]));
    }

    /// Has a piece copied: with the run before it, if it lies behind that.
    #[inline]
    fn copy(&self, piece: Piece, answer: &mut Answer) {
        // The hashes are strong and no two pieces share one, so a turn is enough to tell their order.
        answer.tag = answer.tag.rotate_left(7) ^ piece.hash;
        if answer.run.end != piece.start as usize {
            self.flush(answer);
            answer.run.start = piece.start as usize;
        }
        answer.run.end = piece.end as usize;
    }

    #[inline]
    fn flush(&self, answer: &mut Answer) {
        answer.body.extend_from_slice(&self.text.as_bytes()[answer.run.clone()]);
        answer.run = 0..0;
    }
}

/// The flag of a key, when the class may see it.
fn find(key: &str, class: KeyClass, program: &Program) -> Option<FlagIndex> {
    let index = program.find(key)?;
    (class == KeyClass::Secret || program.flag(index).public).then_some(index)
}

/// Writes pieces one after the other.
#[derive(Default)]
struct Spelling {
    text: String,
    pieces: Vec<Piece>,
}

impl Spelling {
    fn piece(&mut self, write: impl FnOnce(&mut String)) -> Piece {
        let start = self.text.len();
        write(&mut self.text);
        // With its place: pieces of equal text, chosen together, must not cancel each other out.
        let hash = mix(hash(&self.text.as_bytes()[start..]), self.pieces.len() as u64 + 1);
        Piece { start: start as u32, end: self.text.len() as u32, hash }
    }

    fn add(&mut self, write: impl FnOnce(&mut String)) -> usize {
        let piece = self.piece(write);
        self.pieces.push(piece);
        (piece.end - piece.start) as usize
    }

    /// Length of a list's longest outcome in which nothing is missing.
    fn longest(&self, outcomes: &Outcomes) -> usize {
        let length = |piece: &Piece| (piece.end - piece.start) as usize;
        let (first, openings) = (outcomes.first as usize, outcomes.openings as usize);
        let spelled = self.pieces[first..openings].iter().map(length).max();
        let openings = self.pieces[openings..][..=outcomes.list.len as usize].iter();
        // Results and an empty list of missing attributes come with the opening.
        spelled.unwrap_or(openings.map(length).max().unwrap_or(0) + 128)
    }

    fn targeting(&mut self, flag: &Flag, list: RuleList, has_config: bool) -> Outcomes {
        let opening = |enabled: bool, out: &mut String| {
            out.push(',');
            write_string(&flag.key, out);
            out.push_str(":{\"key\":");
            write_string(&flag.key, out);
            out.push_str(",\"isEnabled\":");
            out.push_str(if enabled { "true" } else { "false" });
            out.push_str(",\"targetingVersion\":");
            out.push_str(&flag.targeting.version.to_string());
        };
        // Opt-in belongs to the vendor's service; saying so keeps clients from asking again.
        let closing =
            if has_config { ",\"optInEnabled\":false" } else { ",\"optInEnabled\":false}" };
        self.outcomes(list, |matched, out| opening(matched.is_some(), out), |_| closing)
    }

    /// Without a matching variant there is no `config` member.
    fn config(&mut self, config: &RemoteConfig, list: RuleList) -> Outcomes {
        let opening = |variant: &Variant, out: &mut String| {
            out.push_str(",\"config\":{\"key\":");
            write_string(&variant.key, out);
            out.push_str(",\"version\":");
            out.push_str(&config.version.to_string());
            out.push_str(",\"payload\":");
            out.push_str(variant.payload.as_ref().map_or("null", |payload| payload.get()));
        };
        let open = |matched: Option<u32>, out: &mut String| {
            if let Some(index) = matched {
                opening(&config.variants[index as usize], out);
            }
        };
        self.outcomes(list, open, |matched| if matched { "}}" } else { "}" })
    }

    fn outcomes(
        &mut self,
        list: RuleList,
        open: impl Fn(Option<u32>, &mut String),
        close: impl Fn(bool) -> &'static str,
    ) -> Outcomes {
        let openers = || (0..list.len).map(Some).chain([None]);
        let length = |matched| {
            let mut opening = String::new();
            open(matched, &mut opening);
            opening.len() + 64
        };
        let longest = openers().map(length).max().unwrap_or(0);
        let first = self.pieces.len() as u32;
        let mut spelled = 0;
        if list.len <= SPELLED_RULES && longest << list.len <= SPELLED_BYTES {
            spelled = 1 << list.len;
            for bits in 0..u64::from(spelled) {
                let matched = (bits != 0).then(|| bits.trailing_zeros());
                let outcome = RuleOutcome { matched, bits, ..RuleOutcome::default() };
                self.add(|out| {
                    let start = out.len();
                    open(matched, out);
                    if out.len() > start {
                        let mut rest = Vec::new();
                        write_results(&outcome, list.len, &mut rest);
                        write_missing(&[], &Attributes::default(), &mut rest);
                        out.push_str(&String::from_utf8_lossy(&rest));
                    }
                    out.push_str(close(matched.is_some()));
                });
            }
        }
        let openings = self.pieces.len() as u32;
        for matched in openers() {
            self.add(|out| open(matched, out));
        }
        for matched in [false, true] {
            self.add(|out| out.push_str(close(matched)));
        }
        Outcomes { list, first, spelled, openings }
    }
}

fn write_results(outcome: &RuleOutcome, rules: u32, out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"ruleEvaluationResults\":[");
    for index in 0..rules {
        if index > 0 {
            out.push(b',');
        }
        out.extend_from_slice(if outcome.result(index) { b"true" } else { b"false" });
    }
    out.push(b']');
}

fn write_missing(missing: &[Slot], attributes: &Attributes, out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"missingContextFields\":[");
    for (at, &slot) in missing.iter().enumerate() {
        if at > 0 {
            out.push(b',');
        }
        out.extend_from_slice(attributes.json_name(slot).as_bytes());
    }
    out.push(b']');
}

fn hash(bytes: &[u8]) -> u64 {
    // A fixed seed: the same answer has the same tag on every replica.
    let mut hasher = FixedState::default().build_hasher();
    hasher.write(bytes);
    hasher.finish()
}
