//! Translated documents mean what the rules mean that they were made of: for each context that an
//! SDK of the other vendor can hold, evaluating the document natively gives what Burgee gives when
//! it is asked about that context.
//!
//! [`of_flagsmith`] and [`of_reflag`] are the two directions, over generated documents and contexts;
//! [`cases`] has single conditions and their reasons, [`documents`] whole documents, [`sdks`] the
//! published SDKs. Native and
//! translated rules are each evaluated by Burgee's engine and by the naive interpreter.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "this is test code throughout, the lints see only #[test]; tables are for who asks to see them"
)]

mod cases;
mod documents;
#[path = "../naive/mod.rs"]
mod naive;
#[path = "../naive/flagsmith.rs"]
#[allow(
    dead_code,
    clippy::cast_precision_loss,
    clippy::float_cmp,
    reason = "that is how the protocol does it"
)]
mod naive_flagsmith;
mod of_flagsmith;
mod of_reflag;
#[path = "../sdk/mod.rs"]
mod sdk;
mod sdks;
mod sides;

use std::collections::BTreeMap;

/// What became of flags, by the operators that they use.
#[derive(Debug, Default)]
struct Coverage(BTreeMap<String, Row>);

#[derive(Debug, Default)]
struct Row {
    translated: u32,
    left_out: u32,
    /// Translated flags that were seen both on and off.
    telling: u32,
}

impl Coverage {
    fn count(&mut self, operator: &str, translated: bool, telling: bool) {
        let row = self.0.entry(operator.to_owned()).or_default();
        row.translated += u32::from(translated);
        row.left_out += u32::from(!translated);
        row.telling += u32::from(translated && telling);
    }

    fn print(&self) {
        for (operator, Row { translated, left_out, telling }) in &self.0 {
            println!(
                "{operator:24} {translated:6} translated, {telling:6} of them seen on and off {left_out:6} left out"
            );
        }
    }

    /// Sees to it that enough was compared of each operator that has an exact equal.
    fn check(&self, exact: &[&str]) {
        for operator in exact {
            let row = &self.0[*operator];
            let all = row.translated + row.left_out;
            assert!(row.telling * 50 > all, "{operator} is hardly ever translated: {row:?}");
        }
    }
}
