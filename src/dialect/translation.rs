//! What translating a whole environment's rules into another dialect's document gives.

use bytes::Bytes;

/// A document in another dialect's words, and what it had to leave out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Translation {
    /// The document, with every flag that has an exact equal. The same rules give the same bytes.
    pub document: Bytes,
    /// The other flags, in the order of the rules.
    pub untranslated: Vec<Untranslated>,
}

/// A flag that has no exact equal in the other dialect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Untranslated {
    /// Its key.
    pub flag: Box<str>,
    /// The part of its rules that cannot be said, and why, in words for the person who wrote it.
    pub reason: String,
}

/// A list of operands for a reason: the first few.
pub(crate) fn few<'a>(operands: impl IntoIterator<Item = &'a str>) -> String {
    const FEW: usize = 4;
    const LONG: usize = 60;
    let mut operands = operands.into_iter();
    let mut text = String::new();
    for (at, operand) in operands.by_ref().take(FEW).enumerate() {
        if at > 0 {
            text.push_str(", ");
        }
        match operand.char_indices().nth(LONG) {
            Some((end, _)) => {
                text.push_str(&operand[..end]);
                text.push('…');
            }
            None => text.push_str(operand),
        }
    }
    if operands.next().is_some() {
        text.push_str(", …");
    }
    text
}
