//! Is a recorded history strictly serialisable, and if not, which anomaly is it?
//!
//! For tests and storms only: no part of the library depends on it. Each process of a storm records its
//! transactions as [`Operation`]s, a line each ([`record`]); afterwards [`check`] looks at all of them and
//! at what the lists hold in the end.
//!
//! A transaction reads lists and appends values to them; a value is appended once in a whole history. A
//! list that only grows shows its own history to each who reads it, which is the idea of Elle: Kingsbury,
//! Alvaro, "Elle: Inferring Isolation Anomalies from Experimental Observations", VLDB 14(3), 2020. The
//! names of the anomalies are those of Adya, "Weak Consistency: A Generalized Theory and Optimistic
//! Implementations for Distributed Transactions", MIT, 1999.

#![forbid(unsafe_code)]

mod anomaly;
mod check;
mod cycle;
pub mod record;

pub use anomaly::{Anomaly, Kind};
pub use check::{Summary, check};
pub use record::{List, Operation, Step, Value};
