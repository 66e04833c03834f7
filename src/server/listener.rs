//! The connection that listens for reload messages (`db-channel`): on a primary even where requests go to a replica, kept
//! alive by a heartbeat, opened again with a back-off when it is lost.
//! Owns: its thread and its one connection. Tells the reload thread; never touches a core.
//! Limits: `limits::LISTENER_HEARTBEAT_SECONDS`, `LISTENER_ANSWER_SECONDS`, `RECONNECT_SECONDS_MAX`.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::publish::Publisher;
use super::readiness::{ListenerState, Readiness};
use super::reload::{Ask, ReloadHandle, Reloader};
use crate::limits;
use crate::observe::{Event, Log};
use crate::rt::mailbox::{Receiver, Sender};
use crate::rt::{self, Driver, First, first};
use crate::sql::ident::write_quoted;
use crate::wire::conn::{Answer, Idle};
use crate::wire::connect::{BackendKey, ServerAddress, connect};
use crate::wire::target::{SessionAttrs, Target};

/// Another configuration was published.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ConfigChanged;

pub type ListenerHandle = Sender<ConfigChanged>;

/// What the listening thread is given.
pub struct Listener {
    pub publisher: Arc<Publisher>,
    pub readiness: Arc<Readiness>,
    pub target: Arc<Target>,
    pub driver: Driver,
    pub reload: ReloadHandle,
    pub log: Log,
    pub pulse: Pulse,
    /// What ends the process where the connection must not be opened again.
    pub on_fatal: Box<dyn Fn() + Send>,
}

/// When a silent connection is asked for a sign of life, and how long it has to give one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pulse {
    pub quiet: Duration,
    pub patience: Duration,
}

impl Default for Pulse {
    fn default() -> Self {
        Self {
            quiet: Duration::from_secs(limits::LISTENER_HEARTBEAT_SECONDS),
            patience: Duration::from_secs(limits::LISTENER_ANSWER_SECONDS),
        }
    }
}

/// Why listening ended.
enum Ended {
    /// Switched off, or another channel is configured.
    Changed,
    Lost(String),
    /// Nobody publishes any more: the process ends.
    Over,
}

/// LISTEN and NOTIFY work on a primary alone, whatever the requests' target asks for.
fn primary(target: &Target) -> Target {
    Target { session_attrs: SessionAttrs::ReadWrite, ..target.clone() }
}

impl Listener {
    /// For what the reload thread works on.
    pub fn beside(reloader: &Reloader, on_fatal: Box<dyn Fn() + Send>) -> Self {
        Self {
            publisher: reloader.publisher.clone(),
            readiness: reloader.readiness.clone(),
            target: reloader.target.clone(),
            driver: reloader.driver,
            reload: reloader.handle.clone(),
            log: reloader.log.clone(),
            pulse: Pulse::default(),
            on_fatal,
        }
    }

    /// Starts the thread; it lives as long as the process.
    pub fn start(self, changes: Receiver<ConfigChanged>) -> io::Result<()> {
        thread::Builder::new().name("listener".to_owned()).spawn(move || {
            let log = self.log.clone();
            let target = primary(&self.target);
            if let Err(error) = rt::run(self.driver, self.run(&target, changes)) {
                log.event(&Event::Panicked { message: format!("the listener could not start: {error}") });
            }
        })?;
        Ok(())
    }

    /// The channel to listen on, where that is asked for.
    fn channel(&self) -> Option<String> {
        let current = self.publisher.current();
        current.config.db_channel_enabled.then(|| current.config.db_channel.clone())
    }

    async fn run(self, target: &Target, mut changes: Receiver<ConfigChanged>) {
        let mut delay_seconds = 1;
        let mut lost = false;
        loop {
            let Some(channel) = self.channel() else {
                self.readiness.set_listener(ListenerState::Off);
                (delay_seconds, lost) = (1, false);
                if changes.receive().await.is_none() {
                    return;
                }
                continue;
            };
            let mut established = false;
            let ended = self.listen(target, &channel, lost, &mut established, &mut changes).await;
            if established {
                delay_seconds = 1;
            }
            let error = match ended {
                Ended::Changed => continue,
                Ended::Over => return,
                Ended::Lost(error) => error,
            };
            self.readiness.set_listener(ListenerState::Down);
            self.log.event(&Event::ListenFailed { channel, error });
            if !self.publisher.current().config.db_pool_automatic_recovery {
                self.log.event(&Event::RecoveryDisabled);
                (self.on_fatal)();
                return;
            }
            self.log.event(&Event::ListenRetrying { seconds: delay_seconds });
            lost = true;
            // A configuration that switches the channel off is not kept waiting.
            if let Ok(None) = rt::within(Duration::from_secs(u64::from(delay_seconds)), changes.receive()).await {
                return;
            }
            delay_seconds = (delay_seconds * 2).min(limits::RECONNECT_SECONDS_MAX);
        }
    }

    /// Listens until the connection is lost or the configuration wants something else.
    async fn listen(
        &self,
        target: &Target,
        channel: &str,
        lost: bool,
        established: &mut bool,
        changes: &mut Receiver<ConfigChanged>,
    ) -> Ended {
        self.readiness.set_listener(ListenerState::Down);
        // Blocks: this thread has nothing else to do.
        let deadline = Instant::now() + Duration::from_secs(limits::CONNECT_SECONDS);
        let opened = match connect(target, deadline) {
            Ok(authenticated) => Idle::adopt(authenticated).map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        let begun = match opened {
            Ok(idle) => subscribe(idle, channel).await,
            Err(error) => Err(error),
        };
        let (mut idle, server) = match begun {
            Ok(begun) => begun,
            Err(error) => return Ended::Lost(error),
        };
        *established = true;
        self.readiness.set_listener(ListenerState::Up);
        let address = address(idle.key());
        self.log.event(&Event::Listened { server, address, channel: channel.to_owned() });
        if lost {
            // What was sent meanwhile is lost, and it may have been about either.
            self.reload.ask(Ask::Config);
        }
        self.hear(&mut idle, channel, changes).await
    }

    async fn hear(&self, idle: &mut Idle, channel: &str, changes: &mut Receiver<ConfigChanged>) -> Ended {
        let Pulse { quiet, patience } = self.pulse;
        let hang_up = idle.hang_up();
        loop {
            let mut hearing = pin!(idle.notification_or_pulse(quiet, patience));
            let heard = loop {
                match first(hearing.as_mut(), pin!(changes.receive())).await {
                    First::Left(heard) => break heard,
                    First::Right(Some(ConfigChanged)) if self.channel().as_deref() == Some(channel) => {}
                    First::Right(change) => {
                        // Ends the read in flight, which must not be dropped.
                        hang_up.now();
                        let _ = hearing.as_mut().await;
                        return if change.is_some() { Ended::Changed } else { Ended::Over };
                    }
                }
            };
            match heard {
                // There is one channel; PostgreSQL may have cut its name to 63 bytes.
                Ok(notification) => self.obey(channel, &notification.payload),
                Err(error) => return Ended::Lost(error.to_string()),
            }
        }
    }

    fn obey(&self, channel: &str, payload: &str) {
        match payload {
            "" | "reload schema" => {
                self.log.event(&Event::ReloadSchemaMessage { channel: channel.to_owned() });
                self.reload.ask(if payload.is_empty() { Ask::Config } else { Ask::SchemaCache });
            }
            "reload config" => {
                self.log.event(&Event::ReloadConfigMessage { channel: channel.to_owned() });
                self.reload.ask(Ask::Config);
            }
            // Applications use the channel for messages of their own.
            _ => {}
        }
    }
}

fn address(key: &BackendKey) -> String {
    match key.address.as_ref() {
        ServerAddress::Tcp { address, .. } => address.to_string(),
        ServerAddress::Unix { path } => path.display().to_string(),
    }
}

/// LISTENs; the connection and what the server calls itself.
async fn subscribe(idle: Idle, channel: &str) -> Result<(Idle, String), String> {
    let mut listen = "listen ".to_owned();
    write_quoted(&mut listen, channel);
    let mut busy = idle.begin();
    busy.execute_unnamed("select version()", []);
    busy.execute_unnamed(&listen, []);
    busy.sync();
    busy.send().await.map_err(|error| error.to_string())?;
    let mut server = String::new();
    loop {
        match busy.answer().map_err(|error| error.to_string())? {
            None => busy.more().await.map_err(|error| error.to_string())?,
            Some(Answer::Row(row)) => {
                let version = row.fields().next().flatten().unwrap_or_default();
                server = String::from_utf8_lossy(version).into_owned();
            }
            Some(Answer::Error { error, .. }) => return Err(error.to_string()),
            Some(Answer::Ready(_)) => break,
            Some(Answer::Bound { .. } | Answer::Complete { .. } | Answer::Suspended) => {}
        }
    }
    let idle = busy.finish().await.map_err(|error| error.to_string())?;
    Ok((idle, server))
}
