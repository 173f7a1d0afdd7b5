//! An app as a file: `burgee origin apply` and `burgee origin export`.
//!
//! ```toml
//! [app]
//! name = "Shop"
//! flag_key_format = "kebabCaseLower"
//!
//! [[environments]]
//! name = "Production"
//! production = true
//!
//! [[segments]]
//! name = "Paying"
//! rules = [{ conditions = [{ attribute = "company.plan", operator = "IS", values = ["pro"] }] }]
//!
//! [[flags]]
//! key = "new-checkout-flow"
//! name = "New checkout flow"
//! stage = "Beta"
//!
//! [[flags.variants]]
//! key = "small"
//! payload = { limit = 5 }
//!
//! [[targeting]]
//! flag = "new-checkout-flow"
//! environment = "Production"
//! companies = ["acme-corp"]
//! segments = ["Paying"]
//! rollout = { percentage = 25 }
//! ```
//!
//! The segment of all companies needs no entry unless it is called otherwise: `type = "all"` and no
//! rules. A new app has the stages that every app begins with unless `[app]` says
//! `predefined_stages = false`; `order` is a stage's place.
//!
//! Things are named by what people call them: ids differ from database to database. What a file
//! does not name is left alone, what it names becomes as it says, so applying it twice changes
//! nothing the second time. Nothing is deleted, and keys, companies and users are not in it, save
//! the ids of those that are targeted.
//!
//! The targeting of a flag may be written in part: lists that are left out stay as they are, so
//! that rules can come from a file while companies are switched one by one.

mod apply;
mod export;
mod read;
mod toml_text;

pub use apply::{Applied, NewEnvironment, apply};
pub use export::export;
pub use read::{Document, ReadError};
