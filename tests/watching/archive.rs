//! Runs that were put away.
