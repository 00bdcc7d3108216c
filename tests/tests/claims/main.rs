//! What the crates of Atlas do together, by topic. All tests are one program, because each program
//! contains all of DataFusion, and takes time to link and space on the disk.

mod allocations;
mod argo;
mod changes;
mod codec;
mod conformance;
mod differential;
mod dimensions;
mod engine;
mod faults;
mod functions;
mod golden;
mod model;
mod netcdf;
mod requests;
mod sample;
mod slt;
mod statistics;
mod writers;
