//! Channels: lock-free rings, stacks, and waiting on them. (being written)
#![allow(dead_code)]

mod fifo;
mod hand;
mod judge;
mod layout;
mod message;
mod rings;
mod word;

#[cfg(test)]
mod tests;
