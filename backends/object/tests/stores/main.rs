//! The stores and decorators as a caller stacks them: conformance, the order of lists
//! against a sorted map, and writers that are killed.
//!
//! Owns: what needs only the crate's public face. Does not own: tests of single modules.

#[cfg(test)]
mod conformance;
#[cfg(test)]
mod kill;
#[cfg(test)]
mod lists;
#[cfg(test)]
mod order;
#[cfg(test)]
mod speed;
#[cfg(test)]
mod stack;
