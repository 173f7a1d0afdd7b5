//! The acceptance cases for OFREP, once over rules of each family.

use crate::ofrep_kit::{Kit, of_flagsmith, of_reflag, reflag_key};
use crate::support::secret_key;

#[test]
fn all_cases_hold_over_rules_of_flagsmith() {
    Kit::start("flagsmith", of_flagsmith, str::to_owned).run();
}

#[test]
fn all_cases_hold_over_rules_of_reflag() {
    Kit::start("reflag", of_reflag, reflag_key).run();
}

#[test]
fn all_cases_hold_for_secret_keys_too() {
    let mut kit = Kit::start("flagsmith", of_flagsmith, str::to_owned);
    kit.token = secret_key("kit");
    kit.is_page = false;
    kit.run();
}
