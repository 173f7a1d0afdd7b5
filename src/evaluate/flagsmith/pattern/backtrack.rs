//! A backtracking matcher that counts its steps.
//!
//! It runs what no linear engine can: look-around, back-references, atomic groups. Every
//! instruction costs one step of the request's budget, so a hostile text costs no more than that.

use regex_syntax::hir::{Class, ClassUnicode, HirKind};

use super::syntax::{ASCII_WORD, Assertion, Mode, Node, Tree, WORD};

/// A pattern as instructions.
#[derive(Clone, Debug)]
pub(super) struct Program {
    code: Vec<Instruction>,
    classes: Vec<ClassUnicode>,
    /// `\w` of all scripts, and of ASCII, for word boundaries.
    words: [ClassUnicode; 2],
    registers: usize,
}

#[derive(Clone, Copy, Debug)]
enum Instruction {
    Match,
    Class(u32),
    Assert(Assertion),
    Jump(u32),
    /// Go on at the first place; when that fails, at the second.
    Try(u32, u32),
    Save(u32),
    /// Leaves the loop when nothing was consumed since the register was saved.
    Progress {
        register: u32,
        exit: u32,
    },
    Reference {
        group: u32,
        ignore_case: bool,
    },
    /// The block behind this, up to its own match, at so many characters back; then go on.
    Look {
        behind: u32,
        negated: bool,
        next: u32,
    },
    /// The same without look: what the block consumed stays consumed.
    Atomic {
        next: u32,
    },
    /// Go on behind this when the group took part, else there.
    IfTaken {
        group: u32,
        no: u32,
    },
}

/// Most instructions: they take about as much memory as a compiled pattern of the linear engine may.
const INSTRUCTIONS: usize = 64 * 1024;

const UNSET: usize = usize::MAX;

/// What matching needs, kept from pattern to pattern and from request to request.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    stack: Vec<Undo>,
    registers: Vec<usize>,
}

#[derive(Clone, Copy, Debug)]
enum Undo {
    /// Another way to go on.
    Branch { at: usize, position: usize },
    /// What a register held.
    Register { register: usize, held: usize },
}

/// The budget ran out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Exhausted;

impl Program {
    pub(super) fn compile(tree: &Tree) -> Result<Self, &'static str> {
        let mut compiler = Compiler {
            code: Vec::new(),
            classes: Vec::new(),
            // Two for each group, and for the group of no number.
            registers: 2 * (tree.groups + 1),
        };
        compiler.node(&tree.node)?;
        compiler.push(Instruction::Match)?;
        let words = [class(&format!("[{WORD}]"))?, class(&format!("[{ASCII_WORD}]"))?];
        let Compiler { code, classes, registers } = compiler;
        Ok(Self { code, classes, words, registers })
    }

    /// Whether the pattern matches at the start of `text`. Takes its steps off `budget`.
    pub(super) fn is_match(
        &self,
        text: &str,
        scratch: &mut Scratch,
        budget: &mut u32,
    ) -> Result<bool, Exhausted> {
        scratch.stack.clear();
        scratch.registers.clear();
        scratch.registers.resize(self.registers, UNSET);
        let mut run = Run { program: self, text, scratch, budget };
        Ok(run.run(0, 0)?.is_some())
    }
}

struct Run<'a> {
    program: &'a Program,
    text: &'a str,
    scratch: &'a mut Scratch,
    budget: &'a mut u32,
}

impl Run<'_> {
    /// Runs a block to its match and gives the position there. The ways not taken stay on the stack
    /// above where it was before.
    fn run(&mut self, mut at: usize, mut position: usize) -> Result<Option<usize>, Exhausted> {
        let base = self.scratch.stack.len();
        loop {
            *self.budget = self.budget.checked_sub(1).ok_or(Exhausted)?;
            let next = match self.program.code[at] {
                Instruction::Match => return Ok(Some(position)),
                Instruction::Class(class) => self.consume(class, &mut position).then_some(at + 1),
                Instruction::Assert(assertion) => self.holds(assertion, position).then_some(at + 1),
                Instruction::Jump(to) => Some(to as usize),
                Instruction::Try(first, second) => {
                    self.scratch.stack.push(Undo::Branch { at: second as usize, position });
                    Some(first as usize)
                }
                Instruction::Save(register) => {
                    self.save(register as usize, position);
                    Some(at + 1)
                }
                Instruction::Progress { register, exit } => {
                    let progress = self.scratch.registers[register as usize] != position;
                    Some(if progress { at + 1 } else { exit as usize })
                }
                Instruction::Reference { group, ignore_case } => {
                    self.reference(group as usize, ignore_case, &mut position).then_some(at + 1)
                }
                Instruction::Look { behind, negated, next } => {
                    let from = self.back(position, behind as usize);
                    let found = match from {
                        Some(from) => self.block(at + 1, from, !negated)?.is_some(),
                        None => false,
                    };
                    (found != negated).then_some(next as usize)
                }
                Instruction::Atomic { next } => match self.block(at + 1, position, true)? {
                    Some(end) => {
                        position = end;
                        Some(next as usize)
                    }
                    None => None,
                },
                Instruction::IfTaken { group, no } => {
                    let taken = self.scratch.registers[2 * group as usize + 1] != UNSET;
                    Some(if taken { at + 1 } else { no as usize })
                }
            };
            match next {
                Some(next) => at = next,
                None => match self.backtrack(base) {
                    Some(branch) => (at, position) = branch,
                    None => return Ok(None),
                },
            }
        }
    }

    /// Runs a block of its own. Its other ways are forgotten; what its groups matched stays when
    /// `keep`.
    fn block(
        &mut self,
        at: usize,
        position: usize,
        keep: bool,
    ) -> Result<Option<usize>, Exhausted> {
        let base = self.scratch.stack.len();
        let end = self.run(at, position)?;
        if end.is_some() && keep {
            let mut kept = base;
            for entry in base..self.scratch.stack.len() {
                if let Undo::Register { .. } = self.scratch.stack[entry] {
                    self.scratch.stack[kept] = self.scratch.stack[entry];
                    kept += 1;
                }
            }
            self.scratch.stack.truncate(kept);
        } else {
            while self.backtrack(base).is_some() {}
        }
        Ok(end)
    }

    fn backtrack(&mut self, base: usize) -> Option<(usize, usize)> {
        while self.scratch.stack.len() > base {
            match self.scratch.stack.pop()? {
                Undo::Branch { at, position } => return Some((at, position)),
                Undo::Register { register, held } => self.scratch.registers[register] = held,
            }
        }
        None
    }

    fn save(&mut self, register: usize, position: usize) {
        let held = std::mem::replace(&mut self.scratch.registers[register], position);
        self.scratch.stack.push(Undo::Register { register, held });
    }

    fn consume(&self, class: u32, position: &mut usize) -> bool {
        let Some(character) = self.text[*position..].chars().next() else { return false };
        *position += character.len_utf8();
        contains(&self.program.classes[class as usize], character)
    }

    fn back(&self, position: usize, characters: usize) -> Option<usize> {
        if characters == 0 {
            return Some(position);
        }
        self.text[..position].char_indices().rev().nth(characters - 1).map(|(at, _)| at)
    }

    fn reference(&mut self, group: usize, ignore_case: bool, position: &mut usize) -> bool {
        let [start, end] = [0, 1].map(|side| self.scratch.registers[2 * group + side]);
        if start == UNSET || end == UNSET {
            return false;
        }
        let (earlier, rest) = (&self.text[start..end], &self.text[*position..]);
        // Comparing is work that grows with the text, so it is paid for.
        *self.budget = self.budget.saturating_sub((end - start) as u32);
        if !ignore_case {
            *position += earlier.len();
            return rest.starts_with(earlier);
        }
        let mut rest = rest.chars();
        for expected in earlier.chars() {
            match rest.next() {
                Some(found)
                    if found == expected || found.to_lowercase().eq(expected.to_lowercase()) =>
                {
                    *position += found.len_utf8();
                }
                _ => return false,
            }
        }
        true
    }

    fn holds(&self, assertion: Assertion, position: usize) -> bool {
        let (before, after) = self.text.split_at(position);
        match assertion {
            Assertion::Start => before.is_empty(),
            Assertion::LineStart => before.is_empty() || before.ends_with('\n'),
            Assertion::End => after.is_empty() || after == "\n",
            Assertion::LineEnd => after.is_empty() || after.starts_with('\n'),
            Assertion::VeryEnd => after.is_empty(),
            Assertion::Boundary { ascii } => self.is_boundary(before, after, ascii),
            // Before Python 3.14 there is no such place in an empty text.
            Assertion::NoBoundary { ascii } => {
                !self.text.is_empty() && !self.is_boundary(before, after, ascii)
            }
        }
    }

    fn is_boundary(&self, before: &str, after: &str, ascii: bool) -> bool {
        let word = &self.program.words[usize::from(ascii)];
        let is_word = |c: Option<char>| c.is_some_and(|c| contains(word, c));
        is_word(before.chars().next_back()) != is_word(after.chars().next())
    }
}

fn contains(class: &ClassUnicode, character: char) -> bool {
    let ranges = class.ranges();
    let at = ranges.partition_point(|range| range.end() < character);
    ranges.get(at).is_some_and(|range| range.start() <= character)
}

/// Reads a class, or a single character, in the syntax of the linear engine.
fn class(text: &str) -> Result<ClassUnicode, &'static str> {
    let hir = regex_syntax::parse(text).map_err(|_| "a class cannot be read")?;
    match hir.kind() {
        HirKind::Class(Class::Unicode(class)) => Ok(class.clone()),
        HirKind::Literal(literal) => {
            let mut characters = std::str::from_utf8(&literal.0).unwrap_or_default().chars();
            let character = characters.next().ok_or("a class cannot be read")?;
            let range = regex_syntax::hir::ClassUnicodeRange::new(character, character);
            Ok(ClassUnicode::new([range]))
        }
        // A class that holds no character.
        _ => Ok(ClassUnicode::empty()),
    }
}

struct Compiler {
    code: Vec<Instruction>,
    classes: Vec<ClassUnicode>,
    registers: usize,
}

impl Compiler {
    fn push(&mut self, instruction: Instruction) -> Result<usize, &'static str> {
        if self.code.len() >= INSTRUCTIONS {
            return Err("the pattern is too large");
        }
        self.code.push(instruction);
        Ok(self.code.len() - 1)
    }

    fn here(&self) -> u32 {
        self.code.len() as u32
    }

    fn node(&mut self, node: &Node) -> Result<(), &'static str> {
        match node {
            Node::Empty => {}
            Node::One(text) => {
                let class = class(text)?;
                let known = self.classes.iter().position(|known| *known == class);
                let index = known.unwrap_or_else(|| {
                    self.classes.push(class);
                    self.classes.len() - 1
                });
                self.push(Instruction::Class(index as u32))?;
            }
            Node::Assertion(assertion) => drop(self.push(Instruction::Assert(*assertion))?),
            Node::Sequence(nodes) => nodes.iter().try_for_each(|node| self.node(node))?,
            Node::Choice(branches) => self.choice(branches)?,
            Node::Repeat { node, min, max, mode: Mode::Possessive } => self.block(
                |next| Instruction::Atomic { next },
                |this| this.repeat(node, *min, *max, true),
            )?,
            Node::Repeat { node, min, max, mode } => {
                self.repeat(node, *min, *max, *mode == Mode::Greedy)?;
            }
            Node::Capture(group, node) => {
                self.push(Instruction::Save(2 * *group as u32))?;
                self.node(node)?;
                self.push(Instruction::Save(2 * *group as u32 + 1))?;
            }
            Node::Reference { group, ignore_case } => {
                let (group, ignore_case) = (*group as u32, *ignore_case);
                self.push(Instruction::Reference { group, ignore_case })?;
            }
            Node::Look { behind, negated, node } => {
                let (behind, negated) = (behind.unwrap_or(0) as u32, *negated);
                self.block(
                    |next| Instruction::Look { behind, negated, next },
                    |this| this.node(node),
                )?;
            }
            Node::Atomic(node) => {
                self.block(|next| Instruction::Atomic { next }, |this| this.node(node))?;
            }
            Node::Conditional { group, yes, no } => {
                let group = *group as u32;
                let test = self.push(Instruction::IfTaken { group, no: 0 })?;
                self.node(yes)?;
                let jump = self.push(Instruction::Jump(0))?;
                self.code[test] = Instruction::IfTaken { group, no: self.here() };
                self.node(no)?;
                self.code[jump] = Instruction::Jump(self.here());
            }
        }
        Ok(())
    }

    /// A block with a match of its own, entered by an instruction that knows where to go on.
    fn block(
        &mut self,
        enter: impl Fn(u32) -> Instruction,
        inside: impl FnOnce(&mut Self) -> Result<(), &'static str>,
    ) -> Result<(), &'static str> {
        let at = self.push(enter(0))?;
        inside(self)?;
        self.push(Instruction::Match)?;
        self.code[at] = enter(self.here());
        Ok(())
    }

    fn choice(&mut self, branches: &[Node]) -> Result<(), &'static str> {
        let mut jumps = Vec::new();
        for (index, branch) in branches.iter().enumerate() {
            let last = index + 1 == branches.len();
            let test = if last { None } else { Some(self.push(Instruction::Try(0, 0))?) };
            self.node(branch)?;
            if let Some(test) = test {
                jumps.push(self.push(Instruction::Jump(0))?);
                self.code[test] = Instruction::Try(test as u32 + 1, self.here());
            }
        }
        for jump in jumps {
            self.code[jump] = Instruction::Jump(self.here());
        }
        Ok(())
    }

    fn repeat(
        &mut self,
        node: &Node,
        min: u32,
        max: Option<u32>,
        greedy: bool,
    ) -> Result<(), &'static str> {
        // A node without instructions would never meet the bound on them.
        let before = self.code.len();
        for _ in 0..min {
            self.node(node)?;
            if self.code.len() == before {
                return Ok(());
            }
        }
        let order = |inside: u32, outside: u32| {
            if greedy {
                Instruction::Try(inside, outside)
            } else {
                Instruction::Try(outside, inside)
            }
        };
        let mut tests = Vec::new();
        if let Some(max) = max {
            for _ in min..max {
                tests.push(self.push(Instruction::Try(0, 0))?);
                self.node(node)?;
            }
        } else {
            let register = self.registers as u32;
            self.registers += 1;
            let test = self.push(Instruction::Try(0, 0))?;
            tests.push(test);
            self.push(Instruction::Save(register))?;
            self.node(node)?;
            let progress = self.push(Instruction::Progress { register, exit: 0 })?;
            self.push(Instruction::Jump(test as u32))?;
            self.code[progress] = Instruction::Progress { register, exit: self.here() };
        }
        for test in tests {
            self.code[test] = order(test as u32 + 1, self.here());
        }
        Ok(())
    }
}
