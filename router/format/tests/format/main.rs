//! What the formats promise, asked through their public doors: what is written can be read
//! (also by later versions), and what is damaged is refused.

mod damage;
mod golden;
mod round_trip;
mod samples;
mod strategies;

#[cfg(feature = "planted")]
mod planted;
