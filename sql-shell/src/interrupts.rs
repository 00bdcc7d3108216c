//! Ctrl-C, and requests to end.

use std::future::Future;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::sync::{Notify, oneshot};

use crate::error::{Failure, Result, report};
use crate::pager;

/// The time in which interrupted work removes its files.
pub(crate) const GRACE: Duration = Duration::from_secs(3);

/// The request to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Ctrl-C, or SIGINT.
    Interrupt,
    /// SIGTERM.
    Terminate,
}

impl Stop {
    /// Ends the process as the request would if it were not heard. A script that runs the process
    /// recognizes by this that it must end too.
    pub(crate) fn end_process(self) -> ! {
        #[cfg(unix)]
        {
            use signal_hook::consts::{SIGINT, SIGTERM};
            let signal = if self == Self::Interrupt { SIGINT } else { SIGTERM };
            let _ = signal_hook::low_level::emulate_default_handler(signal);
        }
        std::process::exit(130)
    }
}

/// Which interrupts to heed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Interrupts {
    All,
    /// None if the process was started to ignore them, as jobs that a script runs in the background
    /// are: Ctrl-C is meant for other processes.
    UnlessIgnored,
}

/// The requests from now on, and a runtime to hear them on, which is never busy.
fn requests(interrupts: Interrupts) -> io::Result<(Runtime, Signals)> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let signals = {
        let _entered = runtime.enter();
        Signals::new(interrupts)?
    };
    Ok((runtime, signals))
}

#[cfg(unix)]
struct Signals {
    /// `None` if interrupts are not heeded.
    interrupt: Option<tokio::signal::unix::Signal>,
    terminate: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    fn new(interrupts: Interrupts) -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let heeds = interrupts == Interrupts::All || !ignores_interrupts();
        let interrupt = heeds.then(|| signal(SignalKind::interrupt())).transpose()?;
        Ok(Self { interrupt, terminate: signal(SignalKind::terminate())? })
    }

    async fn next(&mut self) -> Stop {
        let interrupted = async {
            match &mut self.interrupt {
                Some(interrupt) => interrupt.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = interrupted => Stop::Interrupt,
            _ = self.terminate.recv() => Stop::Terminate,
        }
    }
}

/// True if the process ignores SIGINT. This is known on Linux only.
#[cfg(unix)]
fn ignores_interrupts() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    // SIGINT is 2, and the first bit belongs to 1.
    mask.is_some_and(|mask| mask & 0b10 != 0)
}

#[cfg(windows)]
struct Signals(tokio::signal::windows::CtrlC);

#[cfg(windows)]
impl Signals {
    fn new(_: Interrupts) -> io::Result<Self> {
        Ok(Self(tokio::signal::windows::ctrl_c()?))
    }

    async fn next(&mut self) -> Stop {
        self.0.recv().await;
        Stop::Interrupt
    }
}

/// The first request to end. The second one ends the process, and so does the time `limit` after
/// the first. Interrupts are left to a pager while one is open.
pub(crate) fn first_request(limit: Option<Duration>) -> Result<impl Future<Output = Stop>> {
    let (runtime, mut signals) = requests(Interrupts::UnlessIgnored)?;
    let (tell, heard) = oneshot::channel();
    let listen = async move {
        let stop = next_for_us(&mut signals).await;
        // The process may be about to end anyway.
        let _ = tell.send(stop);
        let stop = match limit {
            Some(limit) => tokio::time::timeout(limit, signals.next()).await.unwrap_or(stop),
            None => signals.next().await,
        };
        report(&Failure::stopped(stop));
        stop.end_process()
    };
    std::thread::spawn(move || runtime.block_on(listen));
    Ok(async { heard.await.unwrap_or(Stop::Terminate) })
}

/// Notifies the shell of each Ctrl-C, unless it is meant for a pager.
pub(crate) fn interrupts() -> Result<Arc<Notify>> {
    // The editor replaces the handler of the process while it reads a line, and then puts back what
    // there was. So this listens before it returns.
    let (runtime, mut signals) = requests(Interrupts::All)?;
    let heard = Arc::new(Notify::new());
    let tell = Arc::clone(&heard);
    let listen = async move {
        loop {
            match next_for_us(&mut signals).await {
                Stop::Interrupt => tell.notify_waiters(),
                stop => stop.end_process(),
            }
        }
    };
    std::thread::spawn(move || runtime.block_on(listen));
    Ok(heard)
}

async fn next_for_us(signals: &mut Signals) -> Stop {
    loop {
        let stop = signals.next().await;
        if stop != Stop::Interrupt || !pager::is_open() {
            return stop;
        }
    }
}
