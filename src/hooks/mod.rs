//! Hooks: what happens, or a time, a file, a request from outside, sets off a few steps.
//!
//! [`rules`] decides and is pure. [`House`] is the one owner of what hooks wait for and run; it
//! keeps what it decides before it does it. What steps do outside goes through [`Outside`], which
//! is implemented elsewhere. Nothing here may know how a step is carried out.

mod books;
mod house;
mod outside;
pub mod rules;
mod steps;

pub use books::{Asked, Given, Kept, Options, Reader, Told, change, look, rehearse};
pub use house::{Doors, Handle, House, Knocked};
pub use outside::{
    Diffed, Fetched, Happened, Made, Origin, Outside, Ran, Shell, Wanted, made_by, title,
};
