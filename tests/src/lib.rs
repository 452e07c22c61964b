//! End-to-end tests, crash and fault tests, simulation and benchmarks.
