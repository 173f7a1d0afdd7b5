//! The attributes of one request, matched against a program's slots while they are read.
//!
//! A context is one buffer of text and one small record per slot, both reused from request to
//! request. What no rule reads is checked for form and dropped, so a hostile body costs no more
//! memory than the attributes that rules ask for.

use super::attributes::{NodeIndex, is_array_index};
use super::{Attributes, Program, RuleOutcome, Slot, ValueId, javascript};
use crate::json::{Kind, Malformed, Reader, Text, write_string};
use crate::model::Generation;

/// Bounds on what a client may send as context (DESIGN section 7, bombs).
pub mod limits {
    /// Deepest nesting of objects and arrays, and most dots of a path plus one.
    pub const DEPTH: usize = 32;
    /// Most members and elements of all objects and arrays together.
    pub const MEMBERS: usize = 1_000;
    /// Longest name or path in bytes.
    pub const NAME: usize = 256;
}

/// Why a context cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ContextError {
    /// Not JSON.
    #[error("it is not valid JSON: {0}")]
    Malformed(#[from] Malformed),
    /// JSON, but no object.
    #[error("it must be a JSON object")]
    NotAnObject,
    /// Nested deeper than [`limits::DEPTH`].
    #[error("it is nested deeper than {} levels", limits::DEPTH)]
    TooDeep,
    /// More than [`limits::MEMBERS`].
    #[error("it has more than {} members", limits::MEMBERS)]
    TooManyMembers,
    /// A name longer than [`limits::NAME`].
    #[error("an attribute name is longer than {} bytes", limits::NAME)]
    NameTooLong,
    /// A text of more characters than this.
    #[error("the text of an attribute has more than {0} characters")]
    TextTooLong(usize),
}

/// Counts what a context that is read in several turns has of all that is bounded.
#[derive(Debug, Default)]
pub struct Bounds {
    members: usize,
}

impl Bounds {
    /// Takes note of a member's name.
    pub fn member(&mut self, name: Text<'_>) -> Result<(), ContextError> {
        if name.raw_len() > limits::NAME {
            return Err(ContextError::NameTooLong);
        }
        self.element()
    }

    fn element(&mut self) -> Result<(), ContextError> {
        self.members += 1;
        if self.members > limits::MEMBERS {
            return Err(ContextError::TooManyMembers);
        }
        Ok(())
    }

    /// Reads a value without keeping it; `depth` is that of what it is part of.
    pub fn skip(&mut self, reader: &mut Reader<'_>, depth: usize) -> Result<(), ContextError> {
        let mut first = true;
        match reader.kind()? {
            Kind::Object | Kind::Array if depth + 1 >= limits::DEPTH => {
                return Err(ContextError::TooDeep);
            }
            Kind::Object => {
                reader.open_object()?;
                while let Some(name) = reader.next_member(&mut first)? {
                    self.member(name)?;
                    self.skip(reader, depth + 1)?;
                }
            }
            Kind::Array => {
                reader.open_array()?;
                while reader.next_element(&mut first)? {
                    self.element()?;
                    self.skip(reader, depth + 1)?;
                }
            }
            Kind::String | Kind::Number | Kind::True | Kind::False | Kind::Null => reader.skip()?,
        }
        Ok(())
    }
}

/// What a slot holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    /// The context has no such attribute.
    Missing,
    /// Text: `text[start..end]`.
    Text,
    /// A list (generation 1.1): `elements[start..end]`.
    List,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct SlotValue {
    pub(super) content: Content,
    /// The text's number among the operands of the slot.
    pub(super) id: ValueId,
    start: u32,
    end: u32,
}

const MISSING: SlotValue =
    SlotValue { content: Content::Missing, id: ValueId::NONE, start: 0, end: 0 };

#[derive(Clone, Copy, Debug)]
struct Element {
    id: ValueId,
    start: u32,
    end: u32,
}

/// What [`EvaluationContext::get`] shows of a slot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SlotText<'a> {
    /// The context has no such attribute.
    Missing,
    /// Its flat text.
    Text(&'a str),
    /// Its elements as text (generation 1.1).
    List(Vec<&'a str>),
}

/// The attributes of one request. Reused: [`EvaluationContext::reset`] starts the next one.
#[derive(Debug, Default)]
pub struct EvaluationContext {
    slots: Vec<SlotValue>,
    text: String,
    elements: Vec<Element>,
    /// Per node of the attribute tree: in a dotted context whether text sits there, in a JSON
    /// context which object last named it.
    marks: Vec<u32>,
    objects: u32,
    members: usize,
    /// Per salt: the bucket of this context, or [`UNKNOWN_BUCKET`].
    pub(super) buckets: Vec<u32>,
    /// What leaves and groups came to, as [`AnswerIndex`](super::AnswerIndex) numbers them, or
    /// [`UNKNOWN_ANSWER`].
    pub(super) answers: Vec<u8>,
    /// Per slot: the last rule list that reported it missing.
    pub(super) reported: Vec<u32>,
    pub(super) lists: u32,
    /// What the last rule list said.
    pub(super) outcome: RuleOutcome,
    name: String,
    buffer: String,
}

pub(super) const UNKNOWN_BUCKET: u32 = u32::MAX;
pub(super) const UNKNOWN_ANSWER: u8 = u8::MAX;

/// Text capacity that is kept between requests; more is given back.
const KEPT_TEXT: usize = 64 * 1024;

impl EvaluationContext {
    /// An empty context; it answers for no program before [`EvaluationContext::reset`].
    pub fn new() -> Self {
        Self::default()
    }

    /// Forgets all attributes and takes the shape of `program`.
    pub fn reset(&mut self, program: &Program) {
        self.slots.clear();
        self.slots.resize(program.attributes.len(), MISSING);
        self.marks.clear();
        self.marks.resize(program.attributes.node_count(), 0);
        self.buckets.clear();
        self.buckets.resize(program.salts.len(), UNKNOWN_BUCKET);
        self.answers.clear();
        self.answers.resize(program.leaves.len(), UNKNOWN_ANSWER);
        self.answers.extend([0, 1]);
        self.answers.resize(self.answers.len() + program.groups.len(), UNKNOWN_ANSWER);
        self.reported.clear();
        self.reported.resize(program.attributes.len(), 0);
        self.lists = 0;
        self.objects = 0;
        self.members = 0;
        self.text.clear();
        if self.text.capacity() > KEPT_TEXT {
            self.text.shrink_to(KEPT_TEXT);
        }
        self.elements.clear();
    }

    /// Gives every attribute a text that no rule names, as if a stranger had sent them all.
    pub fn fill_with_unknown(&mut self, program: &Program) {
        let start = self.text.len();
        self.text.push('\u{0}');
        for slot in 0..program.attributes.len() as u32 {
            self.fill(program, Slot(slot), start);
        }
    }

    /// Lends a buffer to whoever reads a context, so that reading the next one allocates nothing.
    pub fn take_buffer(&mut self) -> String {
        std::mem::take(&mut self.buffer)
    }

    /// Takes the buffer back, unless it has grown beyond what is worth keeping.
    pub fn return_buffer(&mut self, buffer: String) {
        if buffer.capacity() <= KEPT_TEXT {
            self.buffer = buffer;
        }
    }

    /// What the slot holds.
    pub fn get(&self, slot: Slot) -> SlotText<'_> {
        let value = self.slots[slot.0 as usize];
        match value.content {
            Content::Missing => SlotText::Missing,
            Content::Text => SlotText::Text(self.text_of(value)),
            Content::List => SlotText::List(
                self.elements[value.start as usize..value.end as usize]
                    .iter()
                    .map(|e| &self.text[e.start as usize..e.end as usize])
                    .collect(),
            ),
        }
    }

    #[inline]
    pub(super) fn slot(&self, slot: Slot) -> SlotValue {
        self.slots[slot.0 as usize]
    }

    #[inline]
    pub(super) fn text_of(&self, value: SlotValue) -> &str {
        &self.text[value.start as usize..value.end as usize]
    }

    pub(super) fn elements_of(&self, value: SlotValue) -> impl ExactSizeIterator<Item = ValueId> {
        self.elements[value.start as usize..value.end as usize].iter().map(|e| e.id)
    }

    /// Adds one attribute of a dotted context (reflag-runtime.md 3.1): `path` without the leading
    /// `context.`, `text` decoded. A later text at the same path wins. A path that runs through
    /// text or through a name of JavaScript's object machinery is dropped.
    pub fn set_dotted(
        &mut self,
        program: &Program,
        path: &str,
        text: &str,
    ) -> Result<(), ContextError> {
        self.count_member()?;
        if path.len() > limits::NAME {
            return Err(ContextError::NameTooLong);
        }
        if path.len() >= limits::DEPTH && path.split('.').count() > limits::DEPTH {
            return Err(ContextError::TooDeep);
        }
        let attributes = &program.attributes;
        let Some(node) = attributes.at_path(path) else { return Ok(()) };
        let mut above = attributes.node(node).parent;
        while above != Attributes::ROOT {
            if self.marks[above as usize] != 0 {
                return Ok(());
            }
            above = attributes.node(above).parent;
        }
        self.marks[node as usize] = 1;
        self.clear_branch(program, node);
        if let Some(slot) = attributes.node(node).slot {
            let start = self.text.len();
            self.text.push_str(text);
            self.fill(program, slot, start);
        }
        Ok(())
    }

    /// Adds the attributes of a JSON object, flattened as the evaluator does (reflag-runtime.md
    /// 12.1): names may hold dots, of two values at one path the later wins.
    pub fn set_json(&mut self, program: &Program, json: &str) -> Result<(), ContextError> {
        let mut reader = Reader::new(json);
        if reader.kind()? != Kind::Object {
            return Err(ContextError::NotAnObject);
        }
        self.read_value(program, &mut reader, Some(Attributes::ROOT), 0)?;
        Ok(reader.end()?)
    }

    /// Adds one attribute of a part of the context; what was at its path goes. A part that no rule
    /// reads anything of is passed over.
    pub(super) fn set_text(
        &mut self,
        program: &Program,
        part: &str,
        path: &str,
        write: impl FnOnce(&mut String),
    ) {
        let part = program.attributes.child(Attributes::ROOT, part);
        let Some(node) = part.and_then(|node| program.attributes.walk(node, path)) else { return };
        self.clear_branch(program, node);
        if let Some(slot) = program.attributes.node(node).slot {
            let start = self.text.len();
            write(&mut self.text);
            self.fill(program, slot, start);
        }
    }

    /// Adds the JSON value that comes next, at a path of a part of the context or as the part itself.
    pub(super) fn set_value(
        &mut self,
        program: &Program,
        part: &str,
        path: Option<Text<'_>>,
        reader: &mut Reader<'_>,
    ) -> Result<(), ContextError> {
        let mut node = program.attributes.child(Attributes::ROOT, part);
        if let Some(path) = path {
            node = node.and_then(|node| self.walk(program, node, path));
            if let Some(node) = node {
                self.clear_branch(program, node);
            }
        }
        // Who reads a context in several turns has counted its members.
        self.members = 0;
        if node.is_none() {
            return Ok(reader.skip()?);
        }
        self.read_value(program, reader, node, 1)
    }

    fn read_value(
        &mut self,
        program: &Program,
        reader: &mut Reader<'_>,
        node: Option<NodeIndex>,
        depth: usize,
    ) -> Result<(), ContextError> {
        let slot = node.and_then(|node| program.attributes.node(node).slot);
        let start = self.text.len();
        match reader.kind()? {
            Kind::Object => {
                let members = self.read_object(program, reader, node, depth)?;
                if members > 0 || depth == 0 {
                    return Ok(());
                }
            }
            Kind::Array if program.generation == Generation::V1_0 => {
                if self.read_array(program, reader, node, depth)? > 0 {
                    return Ok(());
                }
            }
            Kind::Array => return self.read_list(program, reader, slot, depth),
            Kind::String => {
                let text = reader.string()?;
                if slot.is_some() {
                    text.unescape_into(&mut self.text);
                }
            }
            Kind::Number => {
                let number = reader.number()?;
                if slot.is_some() {
                    javascript::number::write_json(number, &mut self.text);
                }
            }
            Kind::True | Kind::False => {
                let word = reader.literal()?;
                if slot.is_some() {
                    self.text.push_str(word);
                }
            }
            // null is the empty text, as are `{}` and `[]`.
            Kind::Null => drop(reader.literal()?),
        }
        if let Some(slot) = slot {
            self.fill(program, slot, start);
        }
        Ok(())
    }

    fn read_object(
        &mut self,
        program: &Program,
        reader: &mut Reader<'_>,
        node: Option<NodeIndex>,
        depth: usize,
    ) -> Result<usize, ContextError> {
        if depth >= limits::DEPTH {
            return Err(ContextError::TooDeep);
        }
        self.objects += 1;
        let object = self.objects;
        let before = self.members;
        // JavaScript visits names that are array indexes first, so of two values at one path the
        // one under such a name loses. Only where rules read such names can that be seen.
        if node.is_some_and(|node| program.attributes.node(node).has_number_below) {
            let mut again = reader.clone();
            self.read_members(program, &mut again, node, depth, (object, Some(true)))?;
            self.read_members(program, reader, node, depth, (object, Some(false)))?;
        } else {
            self.read_members(program, reader, node, depth, (object, None))?;
        }
        Ok(self.members - before)
    }

    /// Reads the members of one object: all, or only those whose names are array indexes or are
    /// not.
    fn read_members(
        &mut self,
        program: &Program,
        reader: &mut Reader<'_>,
        node: Option<NodeIndex>,
        depth: usize,
        (object, indexes): (u32, Option<bool>),
    ) -> Result<(), ContextError> {
        let mut first = true;
        reader.open_object()?;
        while let Some(name) = reader.next_member(&mut first)? {
            if let Some(indexes) = indexes
                && name.plain().is_some_and(is_array_index) != indexes
            {
                reader.skip()?;
                continue;
            }
            self.count_member()?;
            if name.raw_len() > limits::NAME {
                return Err(ContextError::NameTooLong);
            }
            let below = node.and_then(|node| self.walk(program, node, name));
            if let Some(below) = below {
                // JSON keeps only the last of equal names: what the earlier one brought goes.
                if self.marks[below as usize] == object {
                    self.clear_branch(program, below);
                }
                self.marks[below as usize] = object;
            }
            self.read_value(program, reader, below, depth + 1)?;
        }
        Ok(())
    }

    /// Generation 1.0: elements are addressed by their index.
    fn read_array(
        &mut self,
        program: &Program,
        reader: &mut Reader<'_>,
        node: Option<NodeIndex>,
        depth: usize,
    ) -> Result<usize, ContextError> {
        if depth >= limits::DEPTH {
            return Err(ContextError::TooDeep);
        }
        let mut first = true;
        let mut count = 0_usize;
        reader.open_array()?;
        while reader.next_element(&mut first)? {
            self.count_member()?;
            let below = node
                .and_then(|node| program.attributes.child(node, itoa::Buffer::new().format(count)));
            self.read_value(program, reader, below, depth + 1)?;
            count += 1;
        }
        Ok(count)
    }

    /// Generation 1.1: the array stays whole, its elements become text.
    fn read_list(
        &mut self,
        program: &Program,
        reader: &mut Reader<'_>,
        slot: Option<Slot>,
        depth: usize,
    ) -> Result<(), ContextError> {
        if depth >= limits::DEPTH {
            return Err(ContextError::TooDeep);
        }
        let first_element = self.elements.len();
        let mut first = true;
        reader.open_array()?;
        while reader.next_element(&mut first)? {
            self.count_member()?;
            let start = self.text.len();
            match reader.kind()? {
                Kind::String => {
                    let text = reader.string()?;
                    if slot.is_some() {
                        text.unescape_into(&mut self.text);
                    }
                }
                Kind::Null => drop(reader.literal()?),
                _ => self.write_json(reader, slot.is_some(), depth + 1)?,
            }
            if let Some(slot) = slot {
                let id = program.values.id(slot, &self.text[start..]);
                let end = self.text.len() as u32;
                self.elements.push(Element { id, start: start as u32, end });
            }
        }
        if let Some(slot) = slot {
            self.slots[slot.0 as usize] = SlotValue {
                content: Content::List,
                id: ValueId::NONE,
                start: first_element as u32,
                end: self.elements.len() as u32,
            };
        }
        Ok(())
    }

    /// Reads a value and, when `keep`, appends it as JavaScript's `JSON.stringify` spells it.
    fn write_json(
        &mut self,
        reader: &mut Reader<'_>,
        keep: bool,
        depth: usize,
    ) -> Result<(), ContextError> {
        if depth >= limits::DEPTH {
            return Err(ContextError::TooDeep);
        }
        let from = self.text.len();
        let mut first = true;
        match reader.kind()? {
            Kind::Object => {
                reader.open_object()?;
                self.text.push('{');
                while let Some(name) = reader.next_member(&mut first)? {
                    self.count_member()?;
                    self.separate('{');
                    self.write_text(name);
                    self.text.push(':');
                    self.write_json(reader, keep, depth + 1)?;
                }
                self.text.push('}');
            }
            Kind::Array => {
                reader.open_array()?;
                self.text.push('[');
                while reader.next_element(&mut first)? {
                    self.count_member()?;
                    self.separate('[');
                    self.write_json(reader, keep, depth + 1)?;
                }
                self.text.push(']');
            }
            Kind::String => {
                let text = reader.string()?;
                self.write_text(text);
            }
            Kind::Number => javascript::number::write_json(reader.number()?, &mut self.text),
            Kind::True | Kind::False | Kind::Null => self.text.push_str(reader.literal()?),
        }
        if !keep {
            self.text.truncate(from);
        }
        Ok(())
    }

    fn separate(&mut self, open: char) {
        if !self.text.ends_with(open) {
            self.text.push(',');
        }
    }

    fn write_text(&mut self, text: Text<'_>) {
        let mut plain = std::mem::take(&mut self.name);
        plain.clear();
        text.unescape_into(&mut plain);
        write_string(&plain, &mut self.text);
        self.name = plain;
    }

    /// Walks a member's name, which may hold dots and escapes.
    fn walk(&mut self, program: &Program, node: NodeIndex, name: Text<'_>) -> Option<NodeIndex> {
        if let Some(plain) = name.plain() {
            return program.attributes.walk(node, plain);
        }
        self.name.clear();
        name.unescape_into(&mut self.name);
        program.attributes.walk(node, &self.name)
    }

    fn count_member(&mut self) -> Result<(), ContextError> {
        self.members += 1;
        if self.members > limits::MEMBERS {
            return Err(ContextError::TooManyMembers);
        }
        Ok(())
    }

    fn clear_branch(&mut self, program: &Program, node: NodeIndex) {
        let node = program.attributes.node(node);
        self.slots[node.first_slot as usize..node.end_slot as usize].fill(MISSING);
    }

    /// Binds the text from `start` on to a slot.
    fn fill(&mut self, program: &Program, slot: Slot, start: usize) {
        let id = program.values.id(slot, &self.text[start..]);
        self.slots[slot.0 as usize] = SlotValue {
            content: Content::Text,
            id,
            start: start as u32,
            end: self.text.len() as u32,
        };
    }
}
