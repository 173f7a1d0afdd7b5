//! Generated documents, contexts and clocks for the property tests.
//!
//! Attributes come in [`Kind`]s. A condition on an attribute takes its operands from the pool
//! that the contexts fill that attribute from, so that conditions often match. Kept out on
//! purpose: what is left to an engine's taste (lenient date forms, text that looks like a JSON
//! array, names inherited from JavaScript objects, numbers beyond the range of a double).
//!
//! Date operators only meet attributes of [`Kind::Date`], and these only ISO dates or text that
//! is no date in any engine.

use std::fmt;

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

use super::javascript::Json;
use super::{Attribute, Flat, Generation, flatten, rollout_hash, visit};

/// 2026-03-15T12:00:00.000Z, the clock of the published vectors.
pub(crate) const NOW_MS: i64 = 1_773_576_000_000;

/// What an attribute holds, and so what is worth comparing it with.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Kind {
    Date,
    Flag,
    Id,
    Number,
    Tags,
    Words,
}

impl Kind {
    /// Texts of this kind, in contexts and in operands; the likely ones come first.
    fn pool(self) -> &'static [&'static str] {
        match self {
            Kind::Date => &DATES,
            Kind::Flag => &["true", "false", "", "TRUE", "1"],
            Kind::Id => &IDS,
            Kind::Number => &NUMBER_TEXTS,
            Kind::Tags => &TAGS,
            Kind::Words => &WORDS,
        }
    }

    /// Operators made for this kind. Those on dates see no other kind, see above.
    fn operators(self) -> &'static [&'static str] {
        match self {
            Kind::Date => &["AFTER", "BEFORE", "DATE_AFTER", "DATE_BEFORE"],
            Kind::Flag => &["IS_TRUE", "IS_FALSE"],
            Kind::Id => &["IS", "IS_NOT", "ANY_OF", "NOT_ANY_OF", "SET"],
            Kind::Number => &["GT", "LT", "IS_NOT"],
            Kind::Tags => &["ANY_OF", "NOT_ANY_OF", "CONTAINS", "NOT_CONTAINS", "IS", "IS_NOT"],
            Kind::Words => &["IS", "IS_NOT", "ANY_OF", "NOT_ANY_OF", "CONTAINS", "NOT_CONTAINS"],
        }
    }
}

/// One of the pool, four times out of five one of the first two.
fn likely(pool: &'static [&'static str]) -> BoxedStrategy<&'static str> {
    prop_oneof![4 => select(&pool[..2]), 1 => select(pool)].boxed()
}

/// Attributes that contexts have.
const ATTRIBUTES: [(&str, Kind); 15] = [
    ("user.id", Kind::Id),
    ("user.plan", Kind::Words),
    ("user.name", Kind::Words),
    ("user.age", Kind::Number),
    ("user.tags", Kind::Tags),
    ("user.signedUpAt", Kind::Date),
    ("company.id", Kind::Id),
    ("company.plan", Kind::Words),
    ("company.seats", Kind::Number),
    ("company.roles", Kind::Tags),
    ("company.createdAt", Kind::Date),
    ("company.beta", Kind::Flag),
    ("other.region", Kind::Words),
    ("other.event", Kind::Words),
    ("other.trialEnds", Kind::Date),
];

/// Names that only rules know: inside of arrays and objects, whole groups, nothing at all.
const OTHER_FIELDS: [(&str, Kind); 8] = [
    ("user.tags.0", Kind::Tags),
    ("user.tags.1", Kind::Tags),
    ("company.roles.0", Kind::Tags),
    ("company.roles.0.name", Kind::Tags),
    ("company", Kind::Words),
    ("7.x", Kind::Words),
    ("other.region.name", Kind::Words),
    ("user.missing", Kind::Number),
];

const WORDS: [&str; 14] = [
    "pro",
    "Enterprise",
    "ÆRØ",
    "ærø",
    "free",
    "enterprise",
    "eu west",
    " pro ",
    "",
    "Åse & sønner",
    "ΟΔΟΣ",
    "οδός",
    "İstanbul",
    "straße",
];

/// The last two are what an object and an array within an array become in 1.1.
const TAGS: [&str; 9] = [
    "admin",
    "beta",
    "Beta",
    "core",
    "42",
    "true",
    "",
    r#"{"name":"core"}"#,
    r#"{"b":1,"a":[null,"ø"]}"#,
];

/// Needles for `CONTAINS`, some of them only found once both sides are in lower case.
const PARTS: [&str; 12] =
    ["PRO", "ent", "ø", "ER", "p", " ", "", "RØ", "σ", "ς", "i\u{307}", "STRASSE"];

const IDS: [&str; 8] = ["u-1", "u-2", "acme", "globex", "42", "0", "org:eu/42", "Åse"];

/// Numbers as texts, and texts that are almost numbers.
const NUMBER_TEXTS: [&str; 22] = [
    "42",
    "5",
    "-3.5",
    "0",
    "1",
    "41.9",
    "1000",
    "1e3",
    "007",
    " 5\n",
    "",
    "0x1F",
    "-0x1F",
    "0b101",
    ".5",
    "5.",
    "Infinity",
    "-Infinity",
    "1e21",
    "1_000",
    "NaN",
    "inf",
];

/// Numbers as JSON spells them.
const NUMBER_SPELLINGS: [&str; 16] = [
    "0",
    "-0",
    "1",
    "1.0",
    "5.0",
    "42",
    "-3.5",
    "1e3",
    "1E+3",
    "1e21",
    "123456789012345680000",
    "1e-7",
    "0.000001",
    "0.1",
    "9007199254740993",
    "12345678901234567890",
];

/// ISO dates and instants with a zone, some of them on a boundary seen from [`NOW_MS`].
const DATES: [&str; 18] = [
    "2026-03-10T12:00:00.000Z",
    "2026-03-10T17:30:00+05:30",
    "2026-01-01",
    "2026-03-10T12:00:00.001Z",
    "2026-03-10T11:59:59.9999Z",
    "2026-03-10T09:30Z",
    "2026-03-10T24:00:00Z",
    "2026-03-10",
    "2026-03-11T00:00:00Z",
    "2026-03-15T12:00:00Z",
    "2026-03-17T13:00:00Z",
    "2025-12-31T19:00:00-05:00",
    "2026",
    "2024-02-29",
    "1969-12-31T23:59:59Z",
    "+002026-03-10",
    "never",
    "",
];

const DAYS: [&str; 14] =
    ["5", "30", "0", "5.0", "1", "1.9", "-2", "-0.5", "365", "", "soon", "1e9", "Infinity", "0x5"];

/// Operators for attributes of any kind, with one that nobody knows.
const OPERATORS: [&str; 13] = [
    "IS",
    "IS_NOT",
    "ANY_OF",
    "NOT_ANY_OF",
    "CONTAINS",
    "NOT_CONTAINS",
    "GT",
    "LT",
    "SET",
    "NOT_SET",
    "IS_TRUE",
    "IS_FALSE",
    "REGEX",
];

/// Flag keys; filters salt their rollouts with them as well.
const FLAG_KEYS: [&str; 14] = [
    "crew-chat",
    "Crew-Chat",
    "checkout-v2",
    "ai-summary",
    "model-picker",
    "røllout-ключ",
    "with space",
    "with.dot",
    "with/slash",
    "\"quoted\"",
    "7",
    "constructor",
    "dark-mode",
    "x",
];

/// Clocks: the one of the vectors, the first and the last of months, a leap day.
pub(crate) fn now() -> impl Strategy<Value = i64> {
    prop_oneof![
        6 => Just(NOW_MS),
        1 => Just(1_772_323_200_000_i64), // 2026-03-01T00:00:00.000Z
        1 => Just(1_774_958_400_000_i64 - 1), // 2026-03-31T11:59:59.999Z
        1 => Just(1_709_208_000_000_i64), // 2024-02-29T12:00:00.000Z
        1 => 1_700_000_000_000..1_800_000_000_000_i64,
    ]
}

// ---- documents

/// A whole answer of `GET /features`: 1 to 12 flags with unique keys.
pub(crate) fn document() -> impl Strategy<Value = Value> {
    let keys = Just(FLAG_KEYS.to_vec()).prop_shuffle();
    (0..1000_u32, keys, vec(flag(), 1..=12)).prop_map(|(version, keys, mut flags)| {
        for (key, flag) in keys.iter().zip(&mut flags) {
            flag["key"] = json!(key);
        }
        json!({ "success": true, "flagStateVersion": version, "features": flags })
    })
}

/// A definition still without its key.
fn flag() -> impl Strategy<Value = Value> {
    let rule = filter().prop_map(|filter| json!({ "filter": filter }));
    let variant = (variant_key(), payload(), filter()).prop_map(
        |(key, payload, filter)| json!({ "key": key, "payload": payload, "filter": filter }),
    );
    let config = (0..100_u32, vec(variant, 0..=4))
        .prop_map(|(version, variants)| json!({ "version": version, "variants": variants }));
    let config = prop_oneof![3 => config, 1 => Just(Value::Null)];
    let description = prop_oneof![Just(json!("Chat for crews")), Just(Value::Null)];
    (0..100_u32, vec(rule, 0..=5), option::of(config), option::of(description), any::<bool>())
        .prop_map(|(version, rules, config, description, extra)| {
            let mut flag = json!({ "targeting": { "version": version, "rules": rules } });
            let optional = [
                ("config", config),
                ("description", description),
                ("stage", extra.then(|| json!("Beta"))),
                ("unknownMember", extra.then(|| json!({ "kept": [1, null] }))),
            ];
            for (name, value) in optional {
                if let Some(value) = value {
                    flag[name] = value;
                }
            }
            flag
        })
}

fn variant_key() -> impl Strategy<Value = &'static str> {
    select(&["large", "small", "ÆRØ", "", "default"][..])
}

/// Any JSON. Numbers whose spelling a reader may lose (`5.0`, `1e3`) are doubles here.
fn payload() -> impl Strategy<Value = Value> {
    let numbers = [json!(0), json!(-1), json!(5.0), json!(1e3), json!(-0.0), json!(1e-7)];
    let big_numbers = [json!(1e21), json!(9_007_199_254_740_993_i64), json!(u64::MAX)];
    let texts = [json!(""), json!("large"), json!("\u{1f600} \"ø\"\n"), json!("null")];
    let words = [json!(null), json!(true), json!(false)];
    let nested = [
        json!([]),
        json!({}),
        json!([1.0, [], null]),
        json!({ "limit": 20, "deep": { "b": [5.0], "a": "ø" } }),
    ];
    let all = [&numbers[..], &big_numbers, &texts, &words, &nested].concat();
    select(all)
}

// ---- filters

/// A tree of filters that is at most four deep.
fn filter() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        10 => condition(),
        3 => rollout(),
        1 => any::<bool>().prop_map(|value| json!({ "type": "constant", "value": value })),
        1 => Just(json!({ "type": "segment", "segmentId": "s1" })),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        let operator = prop_oneof![6 => Just("and"), 6 => Just("or"), 1 => Just("xor")];
        let group = (operator, vec(inner.clone(), 0..=4)).prop_map(|(operator, filters)| {
            json!({ "type": "group", "operator": operator, "filters": filters })
        });
        let negation = inner.prop_map(|filter| json!({ "type": "negation", "filter": filter }));
        prop_oneof![3 => group, 1 => negation]
    })
}

fn condition() -> impl Strategy<Value = Value> {
    let field = prop_oneof![12 => select(&ATTRIBUTES[..]), 1 => select(&OTHER_FIELDS[..])];
    let with_operator = field.prop_flat_map(|(field, kind)| {
        let operator = prop_oneof![4 => select(kind.operators()), 1 => select(&OPERATORS[..])];
        (Just(field), Just(kind), operator)
    });
    let with_operands = with_operator.prop_flat_map(|(field, kind, operator)| {
        (Just(field), Just(operator), operands(kind, operator))
    });
    with_operands.prop_map(|(field, operator, values)| {
        let mut condition = json!({ "type": "context", "field": field, "operator": operator });
        if let Some(values) = values {
            condition["values"] = json!(values);
        }
        condition
    })
}

/// The `values` member: absent, or 0 to 4 elements.
fn operands(kind: Kind, operator: &str) -> BoxedStrategy<Option<Vec<Value>>> {
    let pool: &[&str] = match operator {
        "AFTER" | "BEFORE" => &DAYS,
        "CONTAINS" | "NOT_CONTAINS" if kind == Kind::Words => &PARTS,
        "GT" | "LT" => &NUMBER_TEXTS,
        _ => kind.pool(),
    };
    let text = likely(pool).prop_map(|text| json!(text)).boxed();
    // Only these say what a value that is not text means: it equals nothing.
    let by_equality = matches!(operator, "IS" | "IS_NOT" | "ANY_OF" | "NOT_ANY_OF");
    let operand = if by_equality {
        prop_oneof![25 => text, 1 => select(vec![json!(42), json!(true), json!(null)])].boxed()
    } else {
        text
    };
    prop_oneof![
        1 => Just(None),
        1 => Just(Some(Vec::new())),
        25 => vec(operand, 1..=4).prop_map(Some),
    ]
    .boxed()
}

fn rollout() -> impl Strategy<Value = Value> {
    let attribute = prop_oneof![
        4 => Just("company.id"),
        4 => Just("user.id"),
        1 => select(&ATTRIBUTES[..]).prop_map(|(name, _)| name),
        1 => Just("user.missing"),
    ];
    let key = prop_oneof![12 => select(&FLAG_KEYS[..]).prop_map(Some), 1 => Just(None)];
    (attribute, key)
        .prop_flat_map(|(attribute, key)| (Just(attribute), Just(key), threshold(key)))
        .prop_map(|(attribute, key, threshold)| {
            let mut rollout = json!({
                "type": "rolloutPercentage",
                "partialRolloutAttribute": attribute,
                "partialRolloutThreshold": threshold,
            });
            if let Some(key) = key {
                rollout["key"] = json!(key);
            }
            rollout
        })
}

/// Around the ends of the range, around the bucket of a known id, or anywhere.
fn threshold(key: Option<&'static str>) -> impl Strategy<Value = Value> {
    let ends = [-1.0, -0.5, 0.0, 0.5, 1.0, 99_999.5, 100_000.0, 100_001.0, 1e9];
    let beside = select(&[-1.0, -0.5, 0.0, 0.5, 1.0][..]);
    prop_oneof![
        2 => select(ends.to_vec()).prop_map(|threshold| json!(threshold)),
        3 => (select(&IDS[..]), beside).prop_map(move |(id, beside)| {
            let key = key.unwrap_or("undefined");
            json!(rollout_hash(&format!("{key}.{id}")) + beside)
        }),
        2 => (0..=100_000_u32).prop_map(|threshold| json!(threshold)),
        1 => (0.0..100_000.0).prop_map(|threshold: f64| json!(threshold)),
    ]
}

// ---- contexts

/// A piece of JSON that keeps its spelling and the order of its members.
#[derive(Clone, Debug)]
enum Spelled {
    Raw(String),
    Array(Vec<Spelled>),
    Object(Vec<(String, Spelled)>),
}

impl Spelled {
    fn text(text: &str) -> Spelled {
        Spelled::Raw(json!(text).to_string())
    }
}

impl fmt::Display for Spelled {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let comma = |index| if index == 0 { "" } else { "," };
        match self {
            Spelled::Raw(text) => out.write_str(text),
            Spelled::Array(elements) => {
                out.write_str("[")?;
                for (index, element) in elements.iter().enumerate() {
                    write!(out, "{}{element}", comma(index))?;
                }
                out.write_str("]")
            }
            Spelled::Object(members) => {
                out.write_str("{")?;
                for (index, (name, value)) in members.iter().enumerate() {
                    write!(out, "{}{}:{value}", comma(index), json!(name))?;
                }
                out.write_str("}")
            }
        }
    }
}

/// The JSON text of a context: user, company and other with members in any order, now and then
/// a member with a dotted or an integer-like name beside them.
///
/// No attribute name is the beginning of another (`a` and `a.b`), since the dotted query form
/// could not carry both.
pub(crate) fn context() -> impl Strategy<Value = String> {
    let groups = ["user", "company", "other"].map(|root| (Just(root.to_owned()), group(root)));
    let indexed = leaf_value(Kind::Words)
        .prop_map(|value| ("7".to_owned(), Spelled::Object(vec![("x".to_owned(), value)])));
    let dotted = prop_oneof![
        4 => select(&ATTRIBUTES[..]),
        1 => Just(("7.x", Kind::Words)),
    ]
    .prop_flat_map(|(name, kind)| (Just(name.to_owned()), leaf_value(kind)));
    let extras = (option::weighted(0.1, indexed), option::weighted(0.3, dotted));
    (subset(groups.to_vec()), extras)
        .prop_flat_map(|(groups, (indexed, dotted))| {
            let extras: Vec<_> = indexed.into_iter().chain(dotted).collect();
            let all = [groups.clone(), extras].concat();
            (Just(groups), Just(all).prop_shuffle())
        })
        .prop_map(|(groups, all)| {
            let with_extras = Spelled::Object(all).to_string();
            if is_ambiguous(&flatten(&with_extras, Generation::V1_0)) {
                Spelled::Object(groups).to_string()
            } else {
                with_extras
            }
        })
}

/// Whether a name is the beginning of another one.
fn is_ambiguous(flat: &Flat) -> bool {
    let begins = |name: &str| flat.keys().any(|other| other.starts_with(&format!("{name}.")));
    flat.keys().any(|name| begins(name))
}

/// One of the roots: most of its members, or something empty.
fn group(root: &'static str) -> impl Strategy<Value = Spelled> + Clone {
    let members: Vec<_> = ATTRIBUTES
        .iter()
        .filter_map(|(name, kind)| {
            let member = name.strip_prefix(root)?.strip_prefix('.')?;
            Some((Just(member.to_owned()), member_value(*kind).boxed()))
        })
        .collect();
    prop_oneof![
        25 => subset(members).prop_map(Spelled::Object),
        1 => select(&["null", "{}", "[]"][..]).prop_map(|text| Spelled::Raw(text.to_owned())),
    ]
}

/// Most of the given members, in any order.
fn subset<N, V>(members: Vec<(N, V)>) -> impl Strategy<Value = Vec<(String, Spelled)>> + Clone
where
    N: Strategy<Value = String> + Clone,
    V: Strategy<Value = Spelled> + Clone,
{
    members
        .into_iter()
        .map(|member| option::weighted(0.95, member))
        .collect::<Vec<_>>()
        .prop_map(|members| members.into_iter().flatten().collect::<Vec<_>>())
        .prop_shuffle()
}

fn member_value(kind: Kind) -> impl Strategy<Value = Spelled> + Clone {
    let nested =
        leaf_value(kind).prop_map(|value| Spelled::Object(vec![("name".to_owned(), value)]));
    let array = vec(element(kind), 0..=3).prop_map(Spelled::Array);
    let arrays = if kind == Kind::Tags { 30 } else { 1 };
    prop_oneof![25 => leaf_value(kind), arrays => array, 1 => nested]
}

fn element(kind: Kind) -> impl Strategy<Value = Spelled> + Clone {
    let nested = [r#"{"name":"core"}"#, r#"{"b":1.0,"a":[null,"ø"]}"#, r#"["a",1e3]"#, "{}", "[]"];
    prop_oneof![
        8 => leaf_value(kind),
        1 => select(nested.to_vec()).prop_map(|text| Spelled::Raw(text.to_owned())),
    ]
}

/// A value without anything below it.
fn leaf_value(kind: Kind) -> impl Strategy<Value = Spelled> + Clone {
    let text = likely(kind.pool()).prop_map(Spelled::text).boxed();
    let raw = |spellings: &'static [&'static str]| {
        select(spellings).prop_map(|text| Spelled::Raw(text.to_owned())).boxed()
    };
    let own = match kind {
        Kind::Date => text.clone(),
        Kind::Flag => raw(&["true", "false"]),
        Kind::Id => raw(&["42", "42.0", "0", "-0"]),
        Kind::Number => raw(&NUMBER_SPELLINGS),
        Kind::Tags => raw(&["42", "true", "1.0"]),
        Kind::Words => "[a-zæøåσςΣ ]{0,6}".prop_map(|text| Spelled::text(&text)).boxed(),
    };
    prop_oneof![25 => text, 5 => own, 1 => raw(&["null", "{}", "[]"])]
}

/// The dotted query form of a context: decoded names (with `context.`) and texts, in the order
/// in which the node SDK writes them (3.1). A completely empty context is `context=`.
pub(crate) fn query(context_json: &str) -> Vec<(String, String)> {
    let whole = Json::Object(vec![("context".to_owned(), Json::parse(context_json))]);
    let mut visited = Vec::new();
    visit(&whole, None, Generation::V1_0, &mut visited);
    let mut pairs: Vec<(String, String)> = Vec::new();
    for (name, attribute) in visited {
        let Attribute::Text(text) = attribute else { unreachable!("1.0 has only texts") };
        // A name met again keeps its place and takes the later text.
        match pairs.iter_mut().find(|(known, _)| *known == name) {
            Some(pair) => pair.1 = text,
            None => pairs.push((name, text)),
        }
    }
    pairs
}
