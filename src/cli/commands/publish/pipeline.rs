//! Messages from lines to answers: many at once, those of one chat one after the other.

use std::collections::{HashMap, VecDeque};
use std::io;

use futures_util::StreamExt;
use futures_util::stream::FuturesUnordered;
use tokio::sync::mpsc;

use super::error::{PublishFailed, UnpublishedLines};
use super::lines::InputLine;
use crate::cli::client::RequestError;
use crate::message::{Chat, Invalid, RawMessage};

/// Messages that are read but not yet answered, at most. Enough to fill a store's group commits;
/// with the largest messages 16 MiB.
pub(super) const IN_FLIGHT_MAX: usize = 64;

/// Sends every line until the input ends, a line is bad or a message is refused; then waits for what
/// is under way. `passed` gets the length of each line that is done. Returns how many were published.
pub(in crate::cli::commands) async fn send_all<S, F>(
    lines: &mut mpsc::Receiver<io::Result<InputLine>>,
    send: S,
    passed: &mut (dyn FnMut(u64) + Send),
) -> Result<u64, PublishFailed>
where
    S: Fn(RawMessage) -> F,
    F: Future<Output = Result<(), RequestError>>,
{
    let mut pipeline = Pipeline::default();
    let mut running = FuturesUnordered::new();
    let start = |pending: PendingMessage| {
        let sent = send(pending.message.clone());
        async move { (pending, sent.await) }
    };
    loop {
        tokio::select! {
            Some(answered) = running.next(), if !running.is_empty() => {
                let (pending, result): (PendingMessage, Result<(), RequestError>) = answered;
                passed(pending.length);
                if let Some(next) = pipeline.answered(&pending, result) {
                    running.push(start(next));
                }
            }
            line = lines.recv(), if pipeline.takes_more() => {
                if let Some(first) = pipeline.take(line) {
                    running.push(start(first));
                }
            }
            else => break,
        }
    }
    pipeline.ended()
}

/// One message and where it came from.
#[derive(Debug)]
struct PendingMessage {
    line: u64,
    length: u64,
    chat: Chat,
    message: RawMessage,
}

/// What is under way, and how it went so far.
#[derive(Debug, Default)]
struct Pipeline {
    /// By chat that has a message under way: those that wait behind it.
    behind: HashMap<Chat, VecDeque<PendingMessage>>,
    held: usize,
    line: u64,
    published: u64,
    unpublished: Vec<u64>,
    /// Those of which nobody knows.
    unsure: Vec<u64>,
    end: Option<PipelineEnd>,
}

/// Why no further line is taken.
#[derive(Debug)]
enum PipelineEnd {
    Input,
    Unreadable(io::Error),
    BadLine(Invalid),
    Refused(RequestError),
}

impl Pipeline {
    fn takes_more(&self) -> bool {
        self.end.is_none() && self.held < IN_FLIGHT_MAX
    }

    /// Takes a line; returns its message if it may go at once.
    fn take(&mut self, line: Option<io::Result<InputLine>>) -> Option<PendingMessage> {
        let line = match line {
            Some(Ok(line)) => line,
            Some(Err(error)) => {
                self.end = Some(PipelineEnd::Unreadable(error));
                return None;
            }
            None => {
                self.end = Some(PipelineEnd::Input);
                return None;
            }
        };
        self.line += 1;
        let length = line.length;
        let message = match line.message() {
            Ok(message) => message?,
            Err(invalid) => {
                // Told where something that came before it is refused after all.
                self.unpublished.push(self.line);
                self.end = Some(PipelineEnd::BadLine(invalid));
                return None;
            }
        };
        self.held += 1;
        let chat = message.chat(self.line);
        let pending = PendingMessage { line: self.line, length, chat, message: message.raw().clone() };
        match self.behind.get_mut(&chat) {
            Some(waiting) => {
                waiting.push_back(pending);
                None
            }
            None => {
                self.behind.insert(chat, VecDeque::new());
                Some(pending)
            }
        }
    }

    /// Notes how a message fared; returns the next one of its chat.
    fn answered(&mut self, pending: &PendingMessage, result: Result<(), RequestError>) -> Option<PendingMessage> {
        self.held -= 1;
        match result {
            Ok(()) => self.published += 1,
            Err(error) => {
                let lines = if error.is_outcome_unknown() { &mut self.unsure } else { &mut self.unpublished };
                lines.push(pending.line);
                // What waits does not go: behind a refused message it would break the order, and a
                // store that refuses one message will hardly take the others.
                for waiting in self.behind.values_mut().flat_map(std::mem::take) {
                    self.held -= 1;
                    self.unpublished.push(waiting.line);
                }
                if !matches!(self.end, Some(PipelineEnd::Refused(_))) {
                    self.end = Some(PipelineEnd::Refused(error));
                }
            }
        }
        let next = self.behind.get_mut(&pending.chat).and_then(VecDeque::pop_front);
        if next.is_none() {
            self.behind.remove(&pending.chat);
        }
        next
    }

    fn ended(self) -> Result<u64, PublishFailed> {
        let (line, published) = (self.line, self.published);
        match self.end {
            None | Some(PipelineEnd::Input) => Ok(published),
            Some(PipelineEnd::Unreadable(source)) => Err(PublishFailed::unread(line, published, source)),
            Some(PipelineEnd::BadLine(source)) => Err(PublishFailed::BadLine { line, published, source }),
            Some(PipelineEnd::Refused(source)) => Err(PublishFailed::Stopped {
                published,
                unpublished: Box::new(UnpublishedLines::new(self.unpublished, line + 1).unsure_of(self.unsure)),
                source,
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use tokio::sync::Semaphore;

    use super::*;
    use crate::journal::port::PublishError;
    use crate::message::Message;

    fn line(chat: &str, id: u32) -> io::Result<InputLine> {
        let text = format!(
            r#"{{"contact":{{"phone":"{chat}"}},"direction":"sent","timestamp":"t","message_id":"{chat}{id}"}}"#
        );
        Ok(InputLine { length: text.len() as u64, text: text.into() })
    }

    fn input(lines: Vec<io::Result<InputLine>>) -> mpsc::Receiver<io::Result<InputLine>> {
        let (sender, receiver) = mpsc::channel(lines.len().max(1));
        for line in lines {
            sender.try_send(line).unwrap();
        }
        receiver
    }

    fn id(message: &RawMessage) -> String {
        Message::parse(message.bytes().clone()).unwrap().message_id().to_string()
    }

    #[tokio::test]
    async fn messages_of_a_chat_go_one_after_the_other_and_chats_side_by_side() {
        let mut lines = Vec::new();
        for n in 0..50 {
            lines.extend(["a", "b", "c"].map(|chat| line(chat, n)));
        }
        let sent = RefCell::new(Vec::new());
        let (now, most) = (Cell::new(0), Cell::new(0));
        let by_chat = RefCell::new(HashMap::<char, u32>::new());
        let send = |message: RawMessage| {
            let (sent, now, most, by_chat) = (&sent, &now, &most, &by_chat);
            async move {
                let id = id(&message);
                let chat = id.chars().next().unwrap();
                assert_eq!(by_chat.borrow_mut().insert(chat, 1).unwrap_or(0), 0, "two of chat {chat} at once");
                now.set(now.get() + 1);
                most.set(most.get().max(now.get()));
                tokio::task::yield_now().await;
                now.set(now.get() - 1);
                by_chat.borrow_mut().insert(chat, 0);
                sent.borrow_mut().push(id);
                Ok(())
            }
        };
        let mut passed = 0;
        let published = send_all(&mut input(lines), send, &mut |_| passed += 1).await.unwrap();
        assert_eq!((published, passed, most.get()), (150, 150, 3));
        for chat in ["a", "b", "c"] {
            let of_chat: Vec<String> = sent.borrow().iter().filter(|id| id.starts_with(chat)).cloned().collect();
            assert_eq!(of_chat, (0..50).map(|n| format!("{chat}{n}")).collect::<Vec<_>>());
        }
    }

    #[tokio::test]
    async fn before_a_bad_line_everything_is_published_and_after_it_nothing() {
        let bad = Ok(InputLine { text: "{}".into(), length: 3 });
        let blank = Ok(InputLine { text: " ".into(), length: 2 });
        let lines = vec![line("a", 1), blank, line("a", 2), bad, line("b", 1)];
        let sent = RefCell::new(Vec::new());
        let send = |message: RawMessage| {
            sent.borrow_mut().push(id(&message));
            std::future::ready(Ok(()))
        };
        let error = send_all(&mut input(lines), send, &mut |_| ()).await.unwrap_err();
        assert!(matches!(error, PublishFailed::BadLine { line: 4, published: 2, .. }), "{error}");
        assert_eq!(*sent.borrow(), ["a1", "a2"]);
    }

    #[tokio::test]
    async fn a_refusal_stops_everything_and_tells_each_line_that_is_not_published() {
        let lines = vec![line("a", 1), line("b", 1), line("a", 2), line("b", 2), line("a", 3)];
        // a1 is refused when b1 is under way, and b1 is answered after that: what waits behind them must not go any more.
        let (b1_started, a1_refused) = (Semaphore::new(0), Semaphore::new(0));
        let sent = RefCell::new(Vec::new());
        let send = |message: RawMessage| {
            let (started, refused, sent) = (&b1_started, &a1_refused, &sent);
            async move {
                let id = id(&message);
                sent.borrow_mut().push(id.clone());
                if id == "a1" {
                    started.acquire().await.unwrap().forget();
                    refused.add_permits(8);
                    return Err(RequestError::Store(PublishError::Full));
                }
                started.add_permits(1);
                refused.acquire().await.unwrap().forget();
                Ok(())
            }
        };
        let error = send_all(&mut input(lines), send, &mut |_| ()).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "1 message is published and it stopped; publish again line 1, everything from line 3 on"
        );
        assert_eq!(*sent.borrow(), ["a1", "b1"]);
    }

    #[tokio::test]
    async fn a_refusal_of_what_came_before_a_bad_line_tells_that_line_too() {
        let bad = Ok(InputLine { text: "{}".into(), length: 3 });
        let mut receiver = input(vec![line("a", 1), bad, line("b", 1), line("b", 2)]);
        let refused = || std::future::ready(Err(RequestError::Store(PublishError::Full)));
        let sent = Cell::new(0);
        let send = |_| {
            sent.set(sent.get() + 1);
            async {
                // The bad line is read before the answer comes.
                tokio::task::yield_now().await;
                refused().await
            }
        };
        let error = send_all(&mut receiver, send, &mut |_| ()).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "0 messages are published and it stopped; publish again everything from line 1 on"
        );
        assert_eq!((sent.get(), receiver.len()), (1, 2));
    }

    #[tokio::test]
    async fn no_more_than_the_bound_is_taken_from_the_input() {
        let lines: Vec<_> = (0..200).map(|n| line(&format!("chat{n}"), n)).collect();
        let mut receiver = input(lines);
        let started = Cell::new(0);
        let send = |_| {
            started.set(started.get() + 1);
            std::future::pending()
        };
        let passed = &mut |_| ();
        let all = send_all(&mut receiver, send, passed);
        tokio::pin!(all);
        // Polled until it does not move any more: nothing is ever answered.
        for _ in 0..1_000 {
            assert!(futures_util::poll!(all.as_mut()).is_pending());
        }
        assert_eq!(started.get(), IN_FLIGHT_MAX);
    }
}
