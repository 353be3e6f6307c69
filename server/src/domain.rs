//! What the gazetteer knows and how it answers: normal forms, the index, search, nearest places,
//! type-ahead and routes. Pure: no I/O, no clock, no gRPC types. The proto file is the contract.

pub mod index;
pub mod names;
pub mod nearest;
pub mod place;
pub mod route;
pub mod search;
pub mod sphere;
pub mod suggest;
pub mod text;
pub mod trigram;
