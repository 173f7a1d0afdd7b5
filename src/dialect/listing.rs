//! Lists of flags, put together from text that was spelled out when the program was published.
//!
//! An answer lists items, each about one flag in one form. Whatever a flag can come to is spelled out
//! beforehand for each item about it, so a request copies one piece of text for an item, and
//! neighbours that lie behind each other as one. What single identities are given by name is not:
//! there may be very much of that, and each is asked for rarely.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher};
use std::ops::Range;

use foldhash::fast::FixedState;

use crate::dialect::tag::mix;
use crate::evaluate::{AnyContext, AnyProgram, OutcomeIndex};
use crate::model::KeyClass;

/// How a dialect spells an item.
pub(crate) trait Spell {
    /// In which forms a flag may be told.
    type Form: Copy + std::fmt::Debug;

    /// Appends what a flag came to.
    fn spell(&self, program: AnyProgram<'_>, outcome: OutcomeIndex, form: Self::Form) -> String;
}

/// The pieces of one environment's lists in one dialect.
#[derive(Debug)]
pub(crate) struct Listing<S: Spell> {
    speller: S,
    /// In the order of the answer.
    items: Vec<Item<S::Form>>,
    /// `,` and an item.
    text: String,
    /// By item and outcome of its flag; see [`Item::first`].
    pieces: Vec<Piece>,
    /// By outcome: its place among those of its flag.
    places: Vec<u32>,
    /// By class of keys and outcome.
    visible: [Box<[bool]>; 2],
    longest: usize,
}

/// One line of the answer.
#[derive(Clone, Copy, Debug)]
struct Item<F> {
    flag: u32,
    form: F,
    /// Its pieces begin here.
    first: u32,
}

/// A part of the text and its hash. An empty one is spelled when it is asked for.
#[derive(Clone, Copy, Debug, Default)]
struct Piece {
    start: u32,
    end: u32,
    hash: u64,
}

/// An answer that is being put together. Equal bodies have equal tags.
#[derive(Debug, Default)]
pub(crate) struct Written {
    pub(crate) body: Vec<u8>,
    pub(crate) tag: u64,
    /// What of the text is to be copied next.
    run: Range<usize>,
}

impl Written {
    /// Starts an answer in an empty buffer. `seed` is what else its tag depends on.
    pub(crate) fn begin(&mut self, buffer: Vec<u8>, seed: u64) {
        *self = Self { body: buffer, tag: seed, run: 0..0 };
    }

    /// The tag and the body.
    pub(crate) fn end(&mut self) -> (u64, Vec<u8>) {
        (self.tag, std::mem::take(&mut self.body))
    }
}

/// Place of a class in [`Listing::visible`].
fn place_of(class: KeyClass) -> usize {
    match class {
        KeyClass::Publishable => 0,
        KeyClass::Secret => 1,
    }
}

impl<S: Spell> Listing<S> {
    /// Spells out all items, given as places of flags and forms.
    pub(crate) fn prepare(
        program: AnyProgram<'_>,
        speller: S,
        items: impl IntoIterator<Item = (usize, S::Form)>,
    ) -> Self {
        let indexes = || (0..program.outcome_count() as u32).map(OutcomeIndex);
        let mut outcomes: Vec<Vec<OutcomeIndex>> = vec![Vec::new(); program.flags().len()];
        let mut places = Vec::with_capacity(program.outcome_count());
        for index in indexes() {
            let own = &mut outcomes[program.outcome(index).flag];
            places.push(own.len() as u32);
            own.push(index);
        }
        let visible = [KeyClass::Publishable, KeyClass::Secret]
            .map(|class| indexes().map(|index| program.is_visible(index, class)).collect());
        let mut listing = Self {
            speller,
            items: Vec::new(),
            text: String::new(),
            pieces: Vec::new(),
            places,
            visible,
            longest: 2,
        };
        for (flag, form) in items {
            let first = listing.pieces.len() as u32;
            listing.items.push(Item { flag: flag as u32, form, first });
            listing.pieces.resize(first as usize + outcomes[flag].len(), Piece::default());
        }
        // What a stranger gets lies in one run: most of what anybody gets is that.
        let strangers = AnyContext::stranger(program);
        let mut known: Vec<HashMap<String, Piece>> = vec![HashMap::new(); listing.items.len()];
        for (at, known) in known.iter_mut().enumerate() {
            listing.add(program, at, strangers[listing.items[at].flag as usize], known);
        }
        for (at, mut known) in known.into_iter().enumerate() {
            let own = outcomes[listing.items[at].flag as usize].iter();
            for &index in own.filter(|index| !program.is_personal(**index)) {
                listing.add(program, at, index, &mut known);
            }
            listing.longest += known.keys().map(|text| text.len() + 1).max().unwrap_or(0);
        }
        listing.text.shrink_to_fit();
        listing
    }

    /// Spells out what an item is for one outcome. Outcomes that read alike share one piece.
    fn add(
        &mut self,
        program: AnyProgram<'_>,
        item: usize,
        outcome: OutcomeIndex,
        known: &mut HashMap<String, Piece>,
    ) {
        let Item { form, first, .. } = self.items[item];
        let spelled = self.speller.spell(program, outcome, form);
        let text = &mut self.text;
        let piece = known.entry(spelled).or_insert_with_key(|spelled| {
            let start = text.len() as u32;
            text.push(',');
            text.push_str(spelled);
            Piece { start, end: text.len() as u32, hash: hash_of_item(item, spelled) }
        });
        self.pieces[(first + self.places[outcome.0 as usize]) as usize] = *piece;
    }

    /// How items are spelled.
    pub(crate) fn speller(&self) -> &S {
        &self.speller
    }

    /// Room for a whole list. One with items for a single identity may be longer.
    pub(crate) fn longest(&self) -> usize {
        self.longest
    }

    /// Whether keys of a class see a flag that came to this.
    pub(crate) fn is_visible(&self, outcome: OutcomeIndex, class: KeyClass) -> bool {
        self.visible[place_of(class)][outcome.0 as usize]
    }

    /// Whether the list is the same whatever the context: no flag has a second outcome.
    pub(crate) fn is_constant(&self) -> bool {
        !self.places.contains(&1)
    }

    /// Appends the items about flags that the class may see and that `wanted` says yes to, between
    /// two brackets. `outcomes` has one for each flag.
    pub(crate) fn write(
        &self,
        program: AnyProgram<'_>,
        class: KeyClass,
        outcomes: &[OutcomeIndex],
        wanted: impl Fn(OutcomeIndex) -> bool,
        brackets: [u8; 2],
        written: &mut Written,
    ) {
        let open = written.body.len();
        let visible = &self.visible[place_of(class)];
        for (at, item) in self.items.iter().enumerate() {
            let outcome = outcomes[item.flag as usize];
            if visible[outcome.0 as usize] && wanted(outcome) {
                self.copy(program, at, outcome, written);
            }
        }
        self.flush(written);
        // Each item starts with a comma; the first one's is the bracket.
        match written.body.get_mut(open) {
            Some(comma) => *comma = brackets[0],
            None => written.body.push(brackets[0]),
        }
        written.body.push(brackets[1]);
    }

    /// Appends one item, by its place in the list.
    pub(crate) fn write_item(
        &self,
        program: AnyProgram<'_>,
        item: usize,
        outcome: OutcomeIndex,
        written: &mut Written,
    ) {
        let start = written.body.len();
        self.copy(program, item, outcome, written);
        self.flush(written);
        // The comma before it.
        written.body.remove(start);
    }

    fn copy(
        &self,
        program: AnyProgram<'_>,
        item: usize,
        outcome: OutcomeIndex,
        written: &mut Written,
    ) {
        let Item { form, first, .. } = self.items[item];
        let piece = self.pieces[(first + self.places[outcome.0 as usize]) as usize];
        if piece.end == 0 {
            return self.spell_now(program, item, outcome, form, written);
        }
        // The hashes are strong and no two pieces share one, so a turn is enough to tell their order.
        written.tag = written.tag.rotate_left(7) ^ piece.hash;
        if written.run.end != piece.start as usize || written.run.is_empty() {
            self.flush(written);
            written.run.start = piece.start as usize;
        }
        written.run.end = piece.end as usize;
    }

    #[cold]
    fn spell_now(
        &self,
        program: AnyProgram<'_>,
        item: usize,
        outcome: OutcomeIndex,
        form: S::Form,
        written: &mut Written,
    ) {
        self.flush(written);
        let text = self.speller.spell(program, outcome, form);
        written.tag = written.tag.rotate_left(7) ^ hash_of_item(item, &text);
        written.body.push(b',');
        written.body.extend_from_slice(text.as_bytes());
    }

    fn flush(&self, written: &mut Written) {
        written.body.extend_from_slice(&self.text.as_bytes()[written.run.clone()]);
        written.run = 0..0;
    }
}

/// With the item's place: pieces of equal text, chosen together, must not cancel each other out.
/// A fixed seed: the same answer has the same tag on every replica.
fn hash_of_item(item: usize, text: &str) -> u64 {
    let mut hasher = FixedState::default().build_hasher();
    hasher.write(text.as_bytes());
    mix(hasher.finish(), item as u64 + 1)
}
