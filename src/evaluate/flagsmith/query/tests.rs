use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Map, json};
use serde_json_path::JsonPath;

use super::*;

const STEPS: u32 = 100_000;

fn first(path: &str, context: &Value) -> Option<Value> {
    let query = Query::parse(path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let mut fixed = context.as_object().unwrap().clone();
    let identity = fixed.shift_remove("identity");
    let context = Context { fixed: &fixed, identity: identity.as_ref() };
    query.first(context, &mut { STEPS }).unwrap().cloned()
}

fn context() -> Value {
    json!({
        "environment": {"key": "e", "name": "gold"},
        "features": {
            "a": {"enabled": true, "value": 5, "variants": [{"weight": 30.0}, {"weight": 70}]},
            "b": {"enabled": false, "value": "x", "metadata": {"id": 2}},
        },
        "identity": {
            "identifier": "u-1", "key": "e_u-1",
            "traits": {"home town": "Oslo", "age": 41, "none": null, "e-mail": "o\n@x.example"},
        },
    })
}

#[test]
fn paths_of_names_are_told_from_others() {
    for (path, expected) in [
        ("$", Some(vec![])),
        ("$.identity.identifier", Some(vec!["identity", "identifier"])),
        ("$.identity.traits['home town']", Some(vec!["identity", "traits", "home town"])),
        ("$[ \"a\" ].b_1", Some(vec!["a", "b_1"])),
        ("$ .a [\n'b']", Some(vec!["a", "b"])),
        ("$.identity.traits['[$the.size$]']", Some(vec!["identity", "traits", "[$the.size$]"])),
        (r"$['it\'s']['\u00e9\ud83d\ude00']", Some(vec!["it's", "é😀"])),
        ("$.サイズ", Some(vec!["サイズ"])),
        ("$.a[0]", None),
        ("$.a.*", None),
        ("$..a", None),
        ("$['a','b']", None),
    ] {
        let query = Query::parse(path).unwrap_or_else(|error| panic!("{path}: {error}"));
        assert_eq!(query.names(), expected, "{path}");
    }
}

#[test]
fn what_is_no_path_is_refused() {
    for path in [
        "",
        "plan",
        "a$",
        " $",
        "$ ",
        "$.",
        "$. a",
        "$.a b",
        "$.1a",
        "$...a",
        "$['a'",
        "$[]",
        "$[a]",
        r"$['\q']",
        "$['\n']",
        r#"$['\"']"#,
        r"$['\ud83d']",
        "$[01]",
        "$[-0]",
        "$[-]",
        "$[+1]",
        "$[9007199254740992]",
        "$[1:2:3:4]",
        "$[?]",
        "$[?1]",
        "$[?'a']",
        "$[?@.a==]",
        "$[?@.*==1]",
        "$[?@..a==1]",
        "$[?@['a','b']==1]",
        "$[?length(@.a)]",
        "$[?length(@.*)==1]",
        "$[?count(1)==1]",
        "$[?count(@.a)]",
        "$[?value(@.a)]",
        "$[?match(@.a,'a')==true]",
        "$[?match(@.a)]",
        "$[?search(@.a,1)]",
        "$[?shout(@.a)]",
        "$[?@.a==1==2]",
        "$[?(@.a]",
        "$[?@.a&@.b]",
        "$[?!1]",
        "$[?@.a===1]",
        "$[?@.a==01]",
        "$[?@.a==.5]",
        "$[?count (@.a)==1]",
        "$[?@.a == tru]",
    ] {
        assert_eq!(Query::parse(path).unwrap_err(), NoQuery::Malformed, "{path}");
    }
    assert_eq!(Query::parse("$[?match(@.a, @.b)]").unwrap_err(), NoQuery::PatternElsewhere);
}

#[test]
fn length_and_nesting_are_bounded() {
    let nested = |times: usize| format!("$[?{}@.a{}]", "(".repeat(times), ")".repeat(times));
    assert!(Query::parse(&nested(15)).is_ok());
    assert_eq!(Query::parse(&nested(1_000)).unwrap_err(), NoQuery::TooLarge);
    let filters = format!("{}@{}", "$[?".repeat(1_000), "]".repeat(1_000));
    assert_eq!(Query::parse(&filters).unwrap_err(), NoQuery::TooLarge);
    let functions = format!("$[?{}@{}==1]", "length(".repeat(500), ")".repeat(500));
    assert_eq!(Query::parse(&functions).unwrap_err(), NoQuery::TooLarge);
    assert_eq!(Query::parse(&format!("${}", ".a".repeat(3_000))).unwrap_err(), NoQuery::TooLarge);
}

#[test]
fn the_first_node_in_the_documents_order_counts() {
    for (path, expected) in [
        ("$", None),
        ("$.identity.traits.age", Some(json!(41))),
        ("$.identity.nobody", None),
        ("$..value", Some(json!(5))),
        ("$.features.*.value", Some(json!(5))),
        ("$.features['b', 'a'].value", Some(json!("x"))),
        ("$.features.a.variants[-1].weight", Some(json!(70))),
        ("$.features.a.variants[::-1].weight", Some(json!(70))),
        ("$.features.a.variants[1:].weight", Some(json!(70))),
        ("$.features.a.variants[5]", None),
        ("$.features[?!@.enabled].value", None),
        ("$.features[?!@.variants].value", Some(json!("x"))),
        ("$.features[?@.enabled == false].value", Some(json!("x"))),
        ("$.features[?@.value == 5.0].enabled", Some(json!(true))),
        ("$.features[?@.value > 4 && @.enabled == true].value", Some(json!(5))),
        ("$.features[?@.value < 'y'].value", Some(json!("x"))),
        ("$.features[?@.missing == @.also_missing].value", Some(json!(5))),
        ("$.features[?@.missing != 1].value", Some(json!(5))),
        ("$.features[?@.metadata.id == 2 || @.none].value", Some(json!("x"))),
        ("$.features[?(@.value == 'x')].enabled", Some(json!(false))),
        ("$.features[?count(@.variants[*]) == 2].value", Some(json!(5))),
        ("$.features[?length(@.variants) == 2].value", Some(json!(5))),
        ("$.features[?value(@..id) == 2].value", Some(json!("x"))),
        ("$.features[?value(@..weight) == 30].value", None),
        ("$.features[?$.environment.name == 'gold'].value", Some(json!(5))),
        ("$.features[?@.variants == $.features.a.variants].value", Some(json!(5))),
        ("$[?@.name == 'gold'].key", Some(json!("e"))),
        ("$[?length($) == 3].key", Some(json!("e"))),
        ("$.identity.traits[?match(@, 'O.*o')]", Some(json!("Oslo"))),
        ("$.identity.traits[?match(@, 'sl')]", None),
        ("$.identity.traits[?search(@, 'sl')]", Some(json!("Oslo"))),
        ("$.identity.traits[?search(@, '^o.@')]", None),
        ("$.identity.traits[?search(@, 'o[\\n.]@')]", Some(json!("o\n@x.example"))),
        ("$.identity.traits[?search(@, '(')]", None),
    ] {
        assert_eq!(first(path, &context()), expected, "{path}");
    }
}

#[test]
fn searches_end_with_their_steps() {
    let features: Map<String, Value> = (0..100)
        .map(|n| (format!("f{n}"), json!({"enabled": true, "value": {"a": [n]}})))
        .collect();
    let fixed = Map::from_iter([("features".to_owned(), Value::Object(features))]);
    let context = Context { fixed: &fixed, identity: None };
    for path in [
        "$..[?count($..[?count($..*)>0])>0]",
        "$..[?count($..*)>5000]",
        "$..[?@..*..*..*..* == 1]",
        "$..*..*..*..*..*[?@ == 'nowhere']",
        "$..[*,*,*,*,*,*,*,*]..[*,*,*,*,*,*,*,*].nowhere",
    ] {
        let Ok(query) = Query::parse(path) else { continue };
        let mut steps = STEPS;
        let _ = query.first(context, &mut steps);
        let mut none_left = 0;
        assert_eq!(query.first(context, &mut none_left), Err(Exhausted), "{path}");
    }
    let hostile = Query::parse("$..[?count($..[?count($..*)>0])>5000]").unwrap();
    let mut steps = STEPS;
    assert_eq!((hostile.first(context, &mut steps), steps), (Err(Exhausted), 0));
    let modest = Query::parse("$..nowhere").unwrap();
    let mut steps = STEPS;
    assert_eq!(modest.first(context, &mut steps), Ok(None));
    assert!(steps > STEPS - 2_000, "{steps} are left");
}

#[test]
fn searches_are_followed_to_a_depth_only() {
    let deep = (0..120).fold(json!(1), |inside, _| json!([inside]));
    let fixed = Map::from_iter([("features".to_owned(), deep)]);
    let context = Context { fixed: &fixed, identity: None };
    let nested = |times| {
        (0..times).fold("$..[?@ == 1]".to_owned(), |path, _| format!("$..[?@ == 1 && {path}]"))
    };
    // Only the innermost array has a child that is 1: each filter begins there, all arrays deep.
    let first = |times| {
        let query = Query::parse(&nested(times)).unwrap();
        query.first(context, &mut { STEPS }).map(Option::<&Value>::cloned)
    };
    assert_eq!(first(2), Ok(Some(json!(1))));
    assert_eq!(first(8), Err(Exhausted));
}

fn name() -> impl Strategy<Value = String> {
    select(vec!["a", "b", "c"]).prop_map(str::to_owned)
}

fn leaf() -> impl Strategy<Value = Value> {
    let leaves = [
        json!(null),
        json!(true),
        json!(0),
        json!(1),
        json!(1.0),
        json!(2.5),
        json!("a"),
        json!("b"),
        json!("ab"),
        json!("é"),
    ];
    select(leaves.to_vec())
}

fn tree() -> impl Strategy<Value = Value> {
    leaf().prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            btree_map(name(), inner, 0..4).prop_map(|members| Map::from_iter(members).into()),
        ]
    })
}

fn selector(filter: BoxedStrategy<String>) -> impl Strategy<Value = String> {
    let bound = || option::of(-3_i64..4).prop_map(|n| n.map_or(String::new(), |n| n.to_string()));
    prop_oneof![
        3 => name().prop_map(|name| format!("'{name}'")),
        1 => Just("*".to_owned()),
        1 => (-3_i64..4).prop_map(|index| index.to_string()),
        1 => (bound(), bound(), bound()).prop_map(|(from, to, step)| format!("{from}:{to}:{step}")),
        2 => filter.prop_map(|filter| format!("?{filter}")),
    ]
}

fn segments(filter: BoxedStrategy<String>) -> BoxedStrategy<String> {
    let segment = prop_oneof![
        2 => name().prop_map(|name| format!(".{name}")),
        1 => Just(".*".to_owned()),
        1 => name().prop_map(|name| format!("..{name}")),
        1 => Just("..*".to_owned()),
        2 => (any::<bool>(), vec(selector(filter), 1..3)).prop_map(|(descends, selectors)| {
            format!("{}[{}]", if descends { ".." } else { "" }, selectors.join(","))
        }),
    ];
    vec(segment, 0..4).prop_map(|segments| segments.concat()).boxed()
}

fn filter(depth: u32) -> BoxedStrategy<String> {
    let inner = if depth == 0 { Just("@.a".to_owned()).boxed() } else { filter(depth - 1) };
    let root = || select(vec!["@", "$"]);
    let single =
        (root(), vec(prop_oneof![name().prop_map(|n| format!(".{n}")), Just("[0]".into())], 0..3))
            .prop_map(|(root, segments)| format!("{root}{}", segments.concat()));
    let path =
        (root(), segments(inner.clone())).prop_map(|(root, segments)| format!("{root}{segments}"));
    let literal = leaf().prop_map(|leaf| leaf.to_string()).boxed();
    let operand = prop_oneof![
        3 => single.clone(),
        2 => literal.clone(),
        1 => path.clone().prop_map(|path| format!("count({path})")),
        1 => path.clone().prop_map(|path| format!("value({path})")),
        1 => single.clone().prop_map(|path| format!("length({path})")),
    ];
    // To the other implementation nothing is not as large as nothing, and an object is larger than another.
    let comparison = prop_oneof![
        (operand.clone(), select(vec!["==", "!="]), operand.clone()),
        (operand, select(vec!["<", "<=", ">", ">="]), literal),
    ];
    prop_oneof![
        2 => path,
        4 => comparison.prop_map(|(left, operator, right)| format!("{left} {operator} {right}")),
        1 => (single, select(vec!["match", "search"]), select(vec!["a", "a.", "[ab]+", ".*"]))
            .prop_map(|(path, function, pattern)| format!("{function}({path}, '{pattern}')")),
        1 => (inner.clone(), select(vec!["&&", "||"]), inner.clone())
            .prop_map(|(l, op, r)| format!("({l}) {op} !({r})")),
        1 => inner.prop_map(|inner| format!("({inner})")),
    ]
    .boxed()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    /// Another implementation, which has no bounds, finds the same.
    #[test]
    fn the_first_node_is_that_of_another_implementation(
        members in btree_map(name(), tree(), 0..4),
        identity in option::of(tree()),
        path in segments(filter(1)).prop_map(|segments| format!("${segments}")),
    ) {
        let fixed = Map::from_iter(members);
        let mut whole = fixed.clone();
        whole.extend(identity.clone().map(|identity| ("identity".to_owned(), identity)));
        let whole = Value::Object(whole);
        let other = JsonPath::parse(&path);
        let query = Query::parse(&path);
        prop_assert_eq!(query.is_ok(), other.is_ok(), "{} {:?} {:?}", path, query, other);
        if let (Ok(query), Ok(other)) = (query, other) {
            let context = Context { fixed: &fixed, identity: identity.as_ref() };
            let expected = other.query(&whole).first().filter(|found| **found != whole);
            if let Ok(found) = query.first(context, &mut { 10 * STEPS }) {
                prop_assert_eq!(found, expected, "{} in {}", path, whole);
            }
        }
    }
}
