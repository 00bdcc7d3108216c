//! Shows the progress of long queries on the terminal.

use std::io::{self, IsTerminal};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use atlas_datafusion::ScanProgress;
use datafusion::physical_plan::ExecutionPlan;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::output::Bytes;

/// The time after which a query counts as long.
const PATIENCE: Duration = Duration::from_millis(500);

/// The time between two updates.
const TICK: Duration = Duration::from_millis(100);

/// A progress line on stderr. It appears when a query takes long, and disappears when it is
/// [hidden](Self::hide) or the last clone is dropped.
#[derive(Clone)]
pub(crate) struct Watch {
    _last: Arc<Hide>,
    state: Arc<State>,
}

/// Whether the line must not be shown any more.
#[derive(Default)]
struct State {
    hidden: Mutex<bool>,
    changed: Condvar,
    /// Locked while a line is on the screen.
    shown: Mutex<()>,
}

struct Hide(Arc<State>);

impl Watch {
    pub(crate) fn new() -> Self {
        let state = Arc::new(State::default());
        Self { _last: Arc::new(Hide(Arc::clone(&state))), state }
    }

    /// Shows the progress of a plan that is about to run, if stderr is a terminal.
    pub(crate) fn show(&self, plan: &Arc<dyn ExecutionPlan>) {
        if !io::stderr().is_terminal() {
            return;
        }
        let (state, plan) = (Arc::clone(&self.state), Arc::clone(plan));
        // Progress has its own thread, so that even a query that keeps all workers busy is
        // reported.
        std::thread::spawn(move || {
            if !state.is_hidden_in(PATIENCE) {
                state.show(&plan);
            }
        });
    }

    /// Removes the line. Nothing more is written after this returns.
    pub(crate) fn hide(&self) {
        self.state.hide();
    }
}

impl State {
    /// Waits for `time`, and returns whether the line must be hidden. In that case it returns at
    /// once.
    fn is_hidden_in(&self, time: Duration) -> bool {
        let hidden = self.hidden.lock().unwrap_or_else(PoisonError::into_inner);
        let waited = self.changed.wait_timeout_while(hidden, time, |hidden| !*hidden);
        *waited.unwrap_or_else(PoisonError::into_inner).0
    }

    fn show(&self, plan: &Arc<dyn ExecutionPlan>) {
        // For plans that read no store, only the elapsed time could be shown.
        let Ok(scans) = ScanProgress::of(plan) else { return };
        let chunks = scans.now().chunks as u64;
        let template = if chunks == 0 {
            "{spinner} {elapsed}"
        } else {
            "{bar:40} {human_pos} of {human_len} chunks  {msg}  {elapsed}"
        };
        let bar = ProgressBar::with_draw_target(Some(chunks), ProgressDrawTarget::stderr());
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        // While this lock is held, `hide` waits. If `hide` came first, the loop does not start.
        let _shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        while !self.is_hidden_in(TICK) {
            let progress = scans.now();
            bar.set_position(progress.chunks_done as u64);
            bar.set_message(Bytes(progress.bytes as u64).to_string());
            bar.tick();
        }
        bar.finish_and_clear();
    }

    fn hide(&self) {
        *self.hidden.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.changed.notify_all();
        drop(self.shown.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

impl Drop for Hide {
    fn drop(&mut self) {
        self.0.hide();
    }
}
