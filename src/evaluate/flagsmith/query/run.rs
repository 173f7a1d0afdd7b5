//! Paths, followed: one step for each node that is looked at.

use std::cell::Cell;
use std::cmp::Ordering;
use std::ops::ControlFlow::{self, Break, Continue};

use serde_json::{Map, Number, Value};

use super::{Comparison, Filter, Operand, Path, Query, Segment, Selector};

/// Bytes of a text that a pattern reads in one step.
const BYTES_A_STEP: usize = 64;
/// Segments that are followed within each other, those of filters in filters along: each takes some of
/// the thread's stack.
const MAX_DEPTH: usize = 512;

/// What paths are followed in: an object that is never put together.
#[derive(Clone, Copy, Debug)]
pub(in super::super) struct Context<'a> {
    /// Its members that requests do not change.
    pub(in super::super) fixed: &'a Map<String, Value>,
    /// Its last member, `identity`.
    pub(in super::super) identity: Option<&'a Value>,
}

/// The steps were used up, or the search led too deep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) struct Exhausted;

impl Query {
    /// What the path finds first: none if it finds nothing, and if that is the context itself. Takes
    /// its steps from `steps`.
    pub(in super::super) fn first<'a>(
        &'a self,
        context: Context<'a>,
        steps: &mut u32,
    ) -> Result<Option<&'a Value>, Exhausted> {
        let run = Run { context, steps: Cell::new(*steps), depth: Cell::new(0) };
        let first = run.first_of(&self.segments, Node::Context);
        *steps = run.steps.get();
        match first {
            Break(_) => Err(Exhausted),
            Continue(Some(Node::Value(value))) => Ok(Some(value)),
            Continue(Some(Node::Context) | None) => Ok(None),
        }
    }
}

#[derive(Clone, Copy)]
enum Node<'a> {
    Context,
    Value(&'a Value),
}

/// Why a walk ends early.
enum End {
    /// What was looked for is found.
    Enough,
    Exhausted,
}

type Flow<T = ()> = ControlFlow<End, T>;

/// One side of a comparison.
#[derive(Clone, Copy)]
enum Seen<'a> {
    Nothing,
    Node(Node<'a>),
    Count(usize),
}

struct Run<'a> {
    context: Context<'a>,
    steps: Cell<u32>,
    depth: Cell<usize>,
}

impl<'a> Run<'a> {
    fn step(&self) -> Flow {
        self.spend(1)
    }

    fn spend(&self, steps: usize) -> Flow {
        let left = u32::try_from(steps).ok().and_then(|steps| self.steps.get().checked_sub(steps));
        self.steps.set(left.unwrap_or(0));
        if left.is_some() { Continue(()) } else { Break(End::Exhausted) }
    }

    fn first_of(&self, segments: &'a [Segment], from: Node<'a>) -> Flow<Option<Node<'a>>> {
        let mut first = None;
        self.until_enough(segments, from, &mut |node| {
            first = Some(node);
            Break(End::Enough)
        })?;
        Continue(first)
    }

    /// Walks until `visit` has enough, which is no end for whoever asks.
    fn until_enough(
        &self,
        segments: &'a [Segment],
        from: Node<'a>,
        visit: &mut dyn FnMut(Node<'a>) -> Flow,
    ) -> Flow {
        match self.walk(segments, from, visit) {
            Break(End::Exhausted) => Break(End::Exhausted),
            Break(End::Enough) | Continue(()) => Continue(()),
        }
    }

    /// Visits what the segments find, in order: each node that one segment finds is followed to the
    /// end of the path before the next one.
    fn walk(
        &self,
        segments: &'a [Segment],
        node: Node<'a>,
        visit: &mut dyn FnMut(Node<'a>) -> Flow,
    ) -> Flow {
        self.step()?;
        match segments.split_first() {
            None => visit(node),
            Some((segment, rest)) => self.apply(segment, rest, node, visit),
        }
    }

    fn apply(
        &self,
        segment: &'a Segment,
        rest: &'a [Segment],
        node: Node<'a>,
        visit: &mut dyn FnMut(Node<'a>) -> Flow,
    ) -> Flow {
        let depth = self.depth.get();
        if depth >= MAX_DEPTH {
            return Break(End::Exhausted);
        }
        self.depth.set(depth + 1);
        let flow = self.apply_to(segment, rest, node, visit);
        self.depth.set(depth);
        flow
    }

    fn apply_to(
        &self,
        segment: &'a Segment,
        rest: &'a [Segment],
        node: Node<'a>,
        visit: &mut dyn FnMut(Node<'a>) -> Flow,
    ) -> Flow {
        for selector in &segment.selectors {
            self.select(selector, node, &mut |found| self.walk(rest, found, visit))?;
        }
        if !segment.descends {
            return Continue(());
        }
        self.children(node, &mut |child| self.apply(segment, rest, child, visit))
    }

    fn select(
        &self,
        selector: &'a Selector,
        node: Node<'a>,
        visit: &mut dyn FnMut(Node<'a>) -> Flow,
    ) -> Flow {
        match selector {
            Selector::Name(name) => self.member(node, name).map_or(Continue(()), visit),
            Selector::Wildcard => self.children(node, visit),
            Selector::Index(index) => element(node, *index).map_or(Continue(()), visit),
            Selector::Slice { start, end, step } => {
                let Node::Value(Value::Array(elements)) = node else { return Continue(()) };
                let mut places = slice(elements.len(), *start, *end, *step);
                places.try_for_each(|at| {
                    self.step()?;
                    visit(Node::Value(&elements[at]))
                })
            }
            Selector::Filter(filter) => self.children(node, &mut |child| {
                if self.holds(filter, child)? { visit(child) } else { Continue(()) }
            }),
        }
    }

    fn member(&self, node: Node<'a>, name: &str) -> Option<Node<'a>> {
        let found = match node {
            Node::Context if name == "identity" => self.context.identity,
            Node::Context => self.context.fixed.get(name),
            Node::Value(value) => value.as_object().and_then(|members| members.get(name)),
        };
        found.map(Node::Value)
    }

    fn children(&self, node: Node<'a>, visit: &mut dyn FnMut(Node<'a>) -> Flow) -> Flow {
        let mut each = |child| {
            self.step()?;
            visit(Node::Value(child))
        };
        match node {
            Node::Context => {
                self.context.fixed.values().chain(self.context.identity).try_for_each(each)
            }
            Node::Value(Value::Array(elements)) => elements.iter().try_for_each(each),
            Node::Value(Value::Object(members)) => members.values().try_for_each(&mut each),
            Node::Value(_) => Continue(()),
        }
    }

    fn holds(&self, filter: &'a Filter, current: Node<'a>) -> Flow<bool> {
        self.step()?;
        match filter {
            Filter::Any(filters) => {
                for filter in filters {
                    if self.holds(filter, current)? {
                        return Continue(true);
                    }
                }
                Continue(false)
            }
            Filter::All(filters) => {
                for filter in filters {
                    if !self.holds(filter, current)? {
                        return Continue(false);
                    }
                }
                Continue(true)
            }
            Filter::Not(filter) => Continue(!self.holds(filter, current)?),
            Filter::Exists(path) => {
                let first = self.first_of(&path.segments, path.start(current))?;
                Continue(first.is_some())
            }
            Filter::Matches { text, pattern } => {
                let seen = self.see(text, current)?;
                let (Seen::Node(Node::Value(Value::String(text))), Some(pattern)) = (seen, pattern)
                else {
                    return Continue(false);
                };
                self.spend(text.len() / BYTES_A_STEP)?;
                Continue(pattern.is_match(text))
            }
            Filter::Compares(left, comparison, right) => {
                let (left, right) = (self.see(left, current)?, self.see(right, current)?);
                match comparison {
                    Comparison::Equal => self.are_equal(left, right),
                    Comparison::NotEqual => Continue(!self.are_equal(left, right)?),
                    Comparison::Less => Continue(is_less(left, right)),
                    Comparison::Greater => Continue(is_less(right, left)),
                    Comparison::LessOrEqual if is_less(left, right) => Continue(true),
                    Comparison::GreaterOrEqual if is_less(right, left) => Continue(true),
                    Comparison::LessOrEqual | Comparison::GreaterOrEqual => {
                        self.are_equal(left, right)
                    }
                }
            }
        }
    }

    fn see(&self, operand: &'a Operand, current: Node<'a>) -> Flow<Seen<'a>> {
        let of = |node: Option<Node<'a>>| node.map_or(Seen::Nothing, Seen::Node);
        match operand {
            Operand::Literal(value) => Continue(Seen::Node(Node::Value(value))),
            Operand::Single(path) => {
                Continue(of(self.first_of(&path.segments, path.start(current))?))
            }
            Operand::Length(operand) => Continue(match self.see(operand, current)? {
                Seen::Node(Node::Value(Value::String(text))) => Seen::Count(text.chars().count()),
                Seen::Node(Node::Value(Value::Array(elements))) => Seen::Count(elements.len()),
                Seen::Node(Node::Value(Value::Object(members))) => Seen::Count(members.len()),
                Seen::Node(Node::Context) => {
                    let identity = usize::from(self.context.identity.is_some());
                    Seen::Count(self.context.fixed.len() + identity)
                }
                Seen::Node(Node::Value(_)) | Seen::Count(_) | Seen::Nothing => Seen::Nothing,
            }),
            Operand::Count(path) => {
                let mut count = 0;
                self.until_enough(&path.segments, path.start(current), &mut |_| {
                    count += 1;
                    Continue(())
                })?;
                Continue(Seen::Count(count))
            }
            Operand::OnlyOf(path) => {
                let mut found = Vec::new();
                self.until_enough(&path.segments, path.start(current), &mut |node| {
                    found.push(node);
                    if found.len() > 1 { Break(End::Enough) } else { Continue(()) }
                })?;
                Continue(of(found.pop().filter(|_| found.is_empty())))
            }
        }
    }

    fn are_equal(&self, left: Seen<'a>, right: Seen<'a>) -> Flow<bool> {
        match (left, right) {
            (Seen::Node(Node::Value(left)), Seen::Node(Node::Value(right))) => {
                self.are_same(left, right)
            }
            (Seen::Nothing, Seen::Nothing)
            | (Seen::Node(Node::Context), Seen::Node(Node::Context)) => Continue(true),
            (Seen::Count(_), _) | (_, Seen::Count(_)) => {
                let ordering = number(left).zip(number(right)).map(|(l, r)| compare(&l, &r));
                Continue(ordering.flatten() == Some(Ordering::Equal))
            }
            _ => Continue(false),
        }
    }

    fn are_same(&self, left: &Value, right: &Value) -> Flow<bool> {
        self.step()?;
        match (left, right) {
            (Value::Number(left), Value::Number(right)) => {
                Continue(compare(left, right) == Some(Ordering::Equal))
            }
            (Value::Array(left), Value::Array(right)) if left.len() == right.len() => {
                for (left, right) in left.iter().zip(right) {
                    if !self.are_same(left, right)? {
                        return Continue(false);
                    }
                }
                Continue(true)
            }
            (Value::Object(left), Value::Object(right)) if left.len() == right.len() => {
                for (name, left) in left {
                    let Some(right) = right.get(name) else { return Continue(false) };
                    if !self.are_same(left, right)? {
                        return Continue(false);
                    }
                }
                Continue(true)
            }
            (Value::String(left), Value::String(right)) => Continue(left == right),
            (Value::Bool(left), Value::Bool(right)) => Continue(left == right),
            (Value::Null, Value::Null) => Continue(true),
            _ => Continue(false),
        }
    }
}

impl Path {
    fn start<'a>(&self, current: Node<'a>) -> Node<'a> {
        if self.is_absolute { Node::Context } else { current }
    }
}

fn element(node: Node<'_>, index: i64) -> Option<Node<'_>> {
    let Node::Value(Value::Array(elements)) = node else { return None };
    elements.get(from_start(index, elements.len())?).map(Node::Value)
}

/// A place counted from the end when it is negative.
fn from_start(index: i64, len: usize) -> Option<usize> {
    let len = i64::try_from(len).ok()?;
    usize::try_from(if index < 0 { index + len } else { index }).ok()
}

/// The places that a slice selects (RFC 9535, 2.3.4.2.2).
fn slice(
    len: usize,
    start: Option<i64>,
    end: Option<i64>,
    step: i64,
) -> Box<dyn Iterator<Item = usize>> {
    let size = i64::try_from(len).unwrap_or(i64::MAX);
    let placed = |index: i64| if index < 0 { index + size } else { index };
    let each = usize::try_from(step.unsigned_abs()).unwrap_or(usize::MAX);
    let place = |at: i64| usize::try_from(at).unwrap_or(0);
    match step {
        0 => Box::new(std::iter::empty()),
        1.. => {
            let from = placed(start.unwrap_or(0)).clamp(0, size);
            let to = placed(end.unwrap_or(size)).clamp(0, size);
            Box::new((from..to).step_by(each).map(place))
        }
        _ => {
            let from = placed(start.unwrap_or(size - 1)).clamp(-1, size - 1);
            let to = end.map_or(-1, |end| placed(end).clamp(-1, size - 1));
            Box::new((to + 1..=from).rev().step_by(each).map(place))
        }
    }
}

fn number(seen: Seen<'_>) -> Option<Number> {
    match seen {
        Seen::Count(count) => Some(Number::from(count)),
        Seen::Node(Node::Value(Value::Number(number))) => Some(number.clone()),
        Seen::Node(_) | Seen::Nothing => None,
    }
}

fn compare(left: &Number, right: &Number) -> Option<Ordering> {
    match (left.as_i64(), right.as_i64()) {
        (Some(left), Some(right)) => Some(left.cmp(&right)),
        _ => left.as_f64()?.partial_cmp(&right.as_f64()?),
    }
}

/// Numbers and texts have an order, nothing else has.
fn is_less(left: Seen<'_>, right: Seen<'_>) -> bool {
    if let (
        Seen::Node(Node::Value(Value::String(left))),
        Seen::Node(Node::Value(Value::String(right))),
    ) = (left, right)
    {
        return left < right;
    }
    let ordering = number(left).zip(number(right)).map(|(left, right)| compare(&left, &right));
    ordering.flatten() == Some(Ordering::Less)
}
