//! The steps of a running test: timed, and told as they happen.

use std::time::{Duration, Instant};

use dataflow_model::{Learned, Step, StepName, StepStatus};

use crate::tls::Agreed;

/// How long what a test finds out beside whether it works may take it.
const LEARNING: Duration = Duration::from_millis(700);

/// Tells each step once it is over. Steps are begun in the order of their plan.
pub struct Steps {
    plan: &'static [StepName],
    tell: Box<dyn FnMut(Step) + Send>,
    running: Option<(StepName, Instant)>,
    told: Vec<StepName>,
    /// What the test found out along the way.
    pub learned: Learned,
    /// When it is ended if it is not over by then.
    pub ends_at: Option<Instant>,
}

impl Steps {
    /// Those of a test. `tell` is called once for each step, in order.
    #[must_use]
    pub fn new(tell: impl FnMut(Step) + Send + 'static) -> Self {
        Self::of(&StepName::ALL, tell)
    }

    #[must_use]
    pub fn of(plan: &'static [StepName], tell: impl FnMut(Step) + Send + 'static) -> Self {
        Self { plan, tell: Box::new(tell), running: None, told: Vec::new(), learned: Learned::default(), ends_at: None }
    }

    /// Begins `step`; one that is still running ends well, without a detail.
    pub fn begin(&mut self, step: StepName) {
        self.end(StepStatus::Ok, None);
        self.running = Some((step, Instant::now()));
    }

    /// Ends the running step well. `detail` is shown beside it: an address, a protocol version.
    pub fn done(&mut self, detail: impl Into<Option<String>>) {
        self.end(StepStatus::Ok, detail.into());
    }

    /// How long what comes on top may take: never so long that a test which has passed is ended for it.
    #[must_use]
    pub fn spare(&self) -> Duration {
        let left = self.ends_at.map(|at| at.saturating_duration_since(Instant::now()).saturating_sub(LEARNING));
        left.map_or(LEARNING, |left| left.min(LEARNING))
    }

    /// Ends the step that secures the connection.
    pub fn secured(&mut self, agreed: Agreed) {
        self.learned.certificate_ends_at = agreed.certificate_ends_at;
        self.done(agreed.version);
    }

    /// Tells a step that this test does not have, and why.
    pub fn skip(&mut self, step: StepName, detail: impl Into<Option<String>>) {
        self.end(StepStatus::Ok, None);
        self.say(Step { step, status: StepStatus::Skipped, duration_ms: None, detail: detail.into() });
    }

    /// Tells that the running step is one that this test does not have after all, and why.
    pub fn leave_out(&mut self, detail: impl Into<Option<String>>) {
        if let Some((step, _)) = self.running.take() {
            self.skip(step, detail);
        }
    }

    /// The step that is running, or else the next one.
    #[must_use]
    pub fn current(&self) -> StepName {
        self.running.map_or_else(|| next(self.plan, &self.told), |(step, _)| step)
    }

    /// Ends the test: the running step (or the next, if none is) failed, the rest is skipped.
    pub fn fail(&mut self) {
        if self.running.is_none() {
            self.running = Some((self.current(), Instant::now()));
        }
        self.end(StepStatus::Failed, None);
        self.skip_rest();
    }

    /// Ends the test: what is left is skipped.
    pub fn skip_rest(&mut self) {
        self.end(StepStatus::Ok, None);
        for step in self.plan {
            if !self.told.contains(step) {
                self.skip(*step, None);
            }
        }
    }

    fn end(&mut self, status: StepStatus, detail: Option<String>) {
        if let Some((step, begun)) = self.running.take() {
            self.say(Step { step, status, duration_ms: Some(milliseconds(begun)), detail });
        }
    }

    fn say(&mut self, step: Step) {
        self.told.push(step.step);
        (self.tell)(step);
    }
}

/// The first step of the plan that is not among `told`; the last one if all are.
#[must_use]
pub fn next(plan: &[StepName], told: &[StepName]) -> StepName {
    plan.iter().find(|step| !told.contains(step)).or(plan.last()).copied().unwrap_or(StepName::Read)
}

/// Milliseconds since `begun`, to a hundredth.
#[must_use]
pub fn milliseconds(begun: Instant) -> f64 {
    (begun.elapsed().as_secs_f64() * 100_000.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[test]
    fn after_a_failure_the_rest_is_skipped_and_each_step_is_told_once() {
        let told = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&told);
        let mut steps = Steps::new(move |step| sink.lock().expect("not poisoned").push((step.step, step.status)));
        steps.begin(StepName::Resolve);
        steps.done("10.0.0.1".to_owned());
        steps.begin(StepName::Reach);
        steps.skip(StepName::Secure, None);
        steps.begin(StepName::SignIn);
        assert_eq!(steps.current(), StepName::SignIn);
        steps.fail();
        assert_eq!(
            *told.lock().expect("not poisoned"),
            [
                (StepName::Resolve, StepStatus::Ok),
                (StepName::Reach, StepStatus::Ok),
                (StepName::Secure, StepStatus::Skipped),
                (StepName::SignIn, StepStatus::Failed),
                (StepName::OpenDatabase, StepStatus::Skipped),
                (StepName::Read, StepStatus::Skipped),
            ]
        );
    }
}
