//! The progress of long operations, in terminals and notebooks. `pyatlas.progress` draws it.

use std::time::{Duration, Instant};

use pyo3::prelude::*;

/// The time after which an operation is long.
const PATIENCE: Duration = Duration::from_millis(500);

/// A bar that appears once an operation is long.
pub(crate) struct Progress {
    begun: Instant,
    bar: Option<Py<PyAny>>,
}

impl Progress {
    pub(crate) fn new() -> Self {
        Self { begun: Instant::now(), bar: None }
    }

    pub(crate) fn show(
        &mut self,
        py: Python<'_>,
        done: usize,
        all: usize,
        unit: &str,
        bytes: u64,
    ) -> PyResult<()> {
        if self.begun.elapsed() < PATIENCE {
            return Ok(());
        }
        let bar = match &self.bar {
            Some(bar) => bar.bind(py).clone(),
            None => {
                let bar = py.import("pyatlas.progress")?.call_method1("Bar", (unit,))?;
                self.bar = Some(bar.clone().unbind());
                bar
            }
        };
        let seconds = self.begun.elapsed().as_secs_f64();
        bar.call_method1("show", (done, all, bytes, seconds)).map(drop)
    }

    pub(crate) fn end(self, py: Python<'_>) -> PyResult<()> {
        self.bar.map_or(Ok(()), |bar| bar.bind(py).call_method0("end").map(drop))
    }
}
