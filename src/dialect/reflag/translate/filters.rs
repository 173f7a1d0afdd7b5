//! Filters put together so that what decides nothing falls away, and written down.

use crate::json::write_string;
use crate::model::{Condition, Filter, GroupOperator, Operand, Operator};

pub(super) const TRUE: Filter = Filter::Constant(true);
pub(super) const FALSE: Filter = Filter::Constant(false);

pub(super) fn all(parts: impl IntoIterator<Item = Filter>) -> Filter {
    group(GroupOperator::And, parts)
}

pub(super) fn any(parts: impl IntoIterator<Item = Filter>) -> Filter {
    group(GroupOperator::Or, parts)
}

fn group(operator: GroupOperator, parts: impl IntoIterator<Item = Filter>) -> Filter {
    let neutral = operator == GroupOperator::And;
    let mut kept = Vec::new();
    for part in parts {
        match part {
            Filter::Constant(value) if value == neutral => {}
            Filter::Constant(decisive) => return Filter::Constant(decisive),
            Filter::Group { operator: inner, filters } if inner == operator => {
                kept.extend(new(filters, &kept));
            }
            part if kept.contains(&part) => {}
            part => kept.push(part),
        }
    }
    match kept.len() {
        0 => Filter::Constant(neutral),
        1 => kept.swap_remove(0),
        _ => Filter::Group { operator, filters: kept },
    }
}

/// The filters that are not there yet.
fn new(filters: Vec<Filter>, kept: &[Filter]) -> Vec<Filter> {
    filters.into_iter().filter(|filter| !kept.contains(filter)).collect()
}

pub(super) fn not(filter: Filter) -> Filter {
    match filter {
        Filter::Constant(value) => Filter::Constant(!value),
        Filter::Negation(inner) => *inner,
        other => Filter::Negation(Box::new(other)),
    }
}

/// A part of a rule, or why it cannot be said.
pub(super) type Translated = Result<Filter, String>;

/// [`all`] of parts some of which cannot be said: where one that can be decides, they do not matter.
pub(super) fn all_of(parts: Vec<Translated>) -> Translated {
    if parts.contains(&Ok(FALSE)) {
        return Ok(FALSE);
    }
    Ok(all(parts.into_iter().collect::<Result<Vec<_>, _>>()?))
}

/// [`any`] of parts some of which cannot be said, as [`all_of`].
pub(super) fn any_of(parts: Vec<Translated>) -> Translated {
    if parts.contains(&Ok(TRUE)) {
        return Ok(TRUE);
    }
    Ok(any(parts.into_iter().collect::<Result<Vec<_>, _>>()?))
}

pub(super) fn condition<'a>(
    attribute: &str,
    operator: Operator,
    operands: impl IntoIterator<Item = &'a str>,
) -> Filter {
    let operands = operands.into_iter().map(|text| Operand::Text(text.into())).collect();
    Filter::Condition(Condition { attribute: attribute.into(), operator, operands })
}

/// Holds for any text, the empty one included. Not so for an attribute that is missing; `SET` would
/// take the empty text for missing, too.
pub(super) fn is_there(attribute: &str) -> Filter {
    condition(attribute, Operator::NotAnyOf, [])
}

/// Whether the text is one of these.
pub(super) fn is_one_of(attribute: &str, texts: &[String]) -> Filter {
    match texts {
        [] => FALSE,
        [text] => condition(attribute, Operator::Is, [text.as_str()]),
        texts => condition(attribute, Operator::AnyOf, texts.iter().map(String::as_str)),
    }
}

/// Whether there is text and it is none of these.
pub(super) fn is_none_of(attribute: &str, texts: &[String]) -> Filter {
    match texts {
        [text] => condition(attribute, Operator::IsNot, [text.as_str()]),
        texts => condition(attribute, Operator::NotAnyOf, texts.iter().map(String::as_str)),
    }
}

/// Whether Flagsmith takes the text for a number: `-?[0-9]+` or `-?[0-9]+\.[0-9]+`, nothing else.
///
/// Reflag takes more for numbers. Of those, texts with blanks around, a plus sign, an exponent, a
/// radix or the word `Infinity` hold a character that is not in the others; and a point has digits
/// on both sides when it stands behind one and before one. The empty text is a number to Reflag.
///
/// Its SDK writes to the console whenever it compares what is no number, so most text is told by a
/// digit that it lacks or a letter that it has before it comes to that. Asked of text only.
pub(super) fn is_number(attribute: &str) -> Filter {
    let contains = |needle: &str| condition(attribute, Operator::Contains, [needle]);
    let lacks = |needle: &str| condition(attribute, Operator::NotContains, [needle]);
    let is_numeral = any([
        condition(attribute, Operator::GreaterThan, ["-1"]),
        condition(attribute, Operator::LessThan, ["1"]),
    ]);
    let mut parts = vec![
        condition(attribute, Operator::Set, []),
        any((0..10).map(|digit| contains(&digit.to_string()))),
    ];
    parts.extend(NOT_IN_NUMBERS.chars().map(|other| lacks(other.encode_utf8(&mut [0; 4]))));
    parts.push(is_numeral);
    parts.push(any([
        lacks("."),
        all([
            any((0..10).map(|digit| contains(&format!("{digit}.")))),
            any((0..10).map(|digit| contains(&format!(".{digit}")))),
        ]),
    ]));
    parts.extend(TRIMMED.chars().map(|blank| lacks(blank.encode_utf8(&mut [0; 4]))));
    all(parts)
}

/// What Reflag's numbers must not hold beside digits, and what most other text does.
const NOT_IN_NUMBERS: &str = "abcdefghijklmnopqrstuvwxyz+:/_,@";

/// What JavaScript trims before it reads a number: its white space and its line ends.
const TRIMMED: &str = "\t\n\u{b}\u{c}\r \u{a0}\u{1680}\u{2000}\u{2001}\u{2002}\u{2003}\u{2004}\u{2005}\
    \u{2006}\u{2007}\u{2008}\u{2009}\u{200a}\u{2028}\u{2029}\u{202f}\u{205f}\u{3000}\u{feff}";

/// Appends a filter as it stands in a document.
pub(super) fn write(filter: &Filter, out: &mut String) {
    match filter {
        Filter::Constant(value) => {
            out.push_str(r#"{"type":"constant","value":"#);
            out.push_str(if *value { "true}" } else { "false}" });
        }
        Filter::Group { operator, filters } => {
            out.push_str(match operator {
                GroupOperator::And => r#"{"type":"group","operator":"and","filters":["#,
                GroupOperator::Or => r#"{"type":"group","operator":"or","filters":["#,
            });
            for (at, filter) in filters.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                write(filter, out);
            }
            out.push_str("]}");
        }
        Filter::Negation(inner) => {
            out.push_str(r#"{"type":"negation","filter":"#);
            write(inner, out);
            out.push('}');
        }
        Filter::Condition(condition) => write_condition(condition, out),
        // Nothing is translated into these.
        Filter::Rollout(_) | Filter::Unknown(_) => write(&FALSE, out),
    }
}

fn write_condition(condition: &Condition, out: &mut String) {
    out.push_str(r#"{"type":"context","field":"#);
    write_string(&condition.attribute, out);
    out.push_str(r#","operator":"#);
    write_string(condition.operator.as_wire(), out);
    out.push_str(r#","values":["#);
    for (at, operand) in condition.operands.iter().enumerate() {
        if at > 0 {
            out.push(',');
        }
        if let Operand::Text(text) = operand {
            write_string(text, out);
        }
    }
    out.push_str("]}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(filter: &Filter, text: &str) -> bool {
        use crate::evaluate::javascript::{case, number};
        let first = |condition: &Condition| match &condition.operands[..] {
            [Operand::Text(text), ..] => text.to_string(),
            _ => String::new(),
        };
        match filter {
            Filter::Constant(value) => *value,
            Filter::Group { operator: GroupOperator::And, filters } => {
                filters.iter().all(|filter| holds(filter, text))
            }
            Filter::Group { filters, .. } => filters.iter().any(|filter| holds(filter, text)),
            Filter::Negation(inner) => !holds(inner, text),
            Filter::Condition(condition) => match condition.operator {
                Operator::Set => !text.is_empty(),
                Operator::GreaterThan => number::parse(text) > number::parse(&first(condition)),
                Operator::LessThan => number::parse(text) < number::parse(&first(condition)),
                Operator::Contains => case::contains_lowercase(text, &first(condition)),
                Operator::NotContains => !case::contains_lowercase(text, &first(condition)),
                _ => unreachable!("it is not used"),
            },
            Filter::Rollout(_) | Filter::Unknown(_) => false,
        }
    }

    #[test]
    fn flagsmiths_numbers_are_told_from_all_other_text() {
        use crate::evaluate::flagsmith::python::{is_decimal, is_integer};
        let filter = is_number("x");
        let pieces = [
            "", "-", "+", "0", "7", "12", ".", "..", "e", "E3", "x", "0x1f", "0b1", "0o7", " ",
            "\n", "\u{a0}", "\u{2028}", "\u{feff}", "Infinity", "_", "a", "٣", "\u{85}", "\u{1c}",
        ];
        let mut numbers = 0;
        for first in pieces {
            for second in pieces {
                for third in pieces {
                    for last in ["", "0", ".", ".5", " ", "e1", "99999999999999999999999"] {
                        let text = format!("{first}{second}{third}{last}");
                        let expected = is_integer(&text) || is_decimal(&text);
                        assert_eq!(holds(&filter, &text), expected, "{text:?}");
                        numbers += usize::from(expected);
                    }
                }
            }
        }
        assert!(numbers > 300, "{numbers}");
        let huge = "9".repeat(400);
        assert!(holds(&filter, &huge) && holds(&filter, &format!("-{huge}.0")));
        for code in 0..=0x10_ffff_u32 {
            let Some(character) = char::from_u32(code) else { continue };
            for text in [format!("7{character}"), format!("{character}7")] {
                assert_eq!(
                    holds(&filter, &text),
                    is_integer(&text) || is_decimal(&text),
                    "{text:?}"
                );
            }
        }
    }

    #[test]
    fn what_decides_nothing_falls_away() {
        let set = || condition("a", Operator::Set, []);
        assert_eq!(all([TRUE, set()]), set());
        assert_eq!(all([set(), FALSE]), FALSE);
        assert_eq!(any([set(), TRUE]), TRUE);
        assert_eq!((all([]), any([])), (TRUE, FALSE));
        assert_eq!(not(not(set())), set());
        let other = || condition("b", Operator::Set, []);
        assert_eq!(all([all([set(), other()]), set(), set()]), all([set(), other()]));
        assert_eq!(all_of(vec![Err("why".to_owned()), Ok(FALSE)]), Ok(FALSE));
        assert_eq!(any_of(vec![Err("why".to_owned()), Ok(TRUE)]), Ok(TRUE));
        assert_eq!(any_of(vec![Err("why".to_owned()), Ok(FALSE)]), Err("why".to_owned()));
    }
}
