//! What Atlas' crates do together, by topic. They are one program, as each program holds all of
//! DataFusion, and takes its time to link and its space on the disk.

mod allocations;
mod argo;
mod changes;
mod conformance;
mod differential;
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
