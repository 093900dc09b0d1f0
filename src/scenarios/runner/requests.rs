//! What a person who watches the run asks of it.

use super::{Child, Cut, Runner};
use crate::Process;
use crate::report::Language;
use crate::report::control::{Control, Request};
use crate::scenarios::speed::Speed;
use crate::sys::Signal;

impl Runner<'_> {
    /// Does what was asked for. In a schedule, who chooses its turns does it.
    pub(super) fn heed(&mut self) {
        let options = self.options;
        let Some(control) = options.control.as_ref().filter(|_| !self.is_explored() && !self.stopping) else { return };
        #[cfg(all(debug_assertions, feature = "live"))]
        crate::sys::failpoint::wait_if("late-run", || self.signals.asked().is_none() || control.is_end_asked());
        while let Some(request) = control.next() {
            match request {
                Request::Hold => {
                    if self.clock.is_held() {
                        self.clock.resume();
                    } else {
                        self.clock.hold();
                    }
                    control.update(|status| status.is_held = self.clock.is_held());
                }
                Request::Faster => self.set_speed(self.clock.speed().faster(), control),
                Request::Slower => self.set_speed(self.clock.speed().slower(), control),
                Request::Kill(pid) => self.kill(pid, control),
                Request::Stop(pid) => self.stop_or_continue(pid, control),
                Request::Step(_) => control.notify(
                    "single steps need a schedule: start it with --live --step, or --live --schedule",
                    "单步需要调度：请用 --live --step 或 --live --schedule 启动",
                ),
                // A signal ends the screen too, which then asks for the end.
                Request::End => self.cut = self.cut.or(Some(self.signals.asked().map_or(Cut::Ended, Cut::Asked))),
            }
        }
    }

    fn set_speed(&self, speed: Speed, control: &Control) {
        self.clock.set_speed(speed);
        control.update(|status| status.speed = speed.to_string());
    }

    /// Returns what a worker is called, in English and in Chinese.
    fn said(&self, child: &Child) -> [String; 2] {
        [Language::En, Language::Zh].map(|language| language.name(self.names, &child.name))
    }

    /// Returns the index of the running worker with this process ID.
    fn running(&self, pid: u32) -> Option<usize> {
        self.children.iter().rposition(|child| child.pid() == pid && child.is_running())
    }

    fn kill(&mut self, pid: u32, control: &Control) {
        let Some(index) = self.running(pid) else { return };
        // Before the kill: its end may be noticed at once.
        self.kills.note_by_hand(index as u32);
        let child = &self.children[index];
        let killed = if child.is_pooled() {
            child.signal(Signal::SIGKILL).map_err(anyhow::Error::from)
        } else {
            child.end(Process::kill)
        };
        let [en, zh] = self.said(child);
        match killed {
            Ok(()) => control.notify(format!("kill -9 {pid} ({en})"), format!("kill -9 {pid}（{zh}）")),
            Err(error) => control.notify(format!("cannot kill {en}: {error:#}"), format!("无法杀死{zh}：{error:#}")),
        }
        self.forget_stopped(index, control);
    }

    fn stop_or_continue(&mut self, pid: u32, control: &Control) {
        let Some(index) = self.running(pid) else { return };
        let (child, is_stopped) = (&self.children[index], self.stopped.contains(&index));
        let (signal, verb) = if is_stopped { (Signal::SIGCONT, "CONT") } else { (Signal::SIGSTOP, "STOP") };
        let [en, zh] = self.said(child);
        if let Err(error) = child.signal(signal) {
            control.notify(format!("cannot stop {en}: {error}"), format!("无法停止{zh}：{error}"));
            return;
        }
        control.notify(format!("kill -{verb} {pid} ({en})"), format!("kill -{verb} {pid}（{zh}）"));
        if is_stopped {
            self.forget_stopped(index, control);
        } else {
            self.stopped.insert(index);
            control.update(|status| _ = status.stopped.insert(pid));
        }
    }

    fn forget_stopped(&mut self, index: usize, control: &Control) {
        let pid = self.children[index].pid();
        self.stopped.remove(&index);
        control.update(|status| _ = status.stopped.remove(&pid));
    }

    /// Continues all workers that were stopped, so that they can end when they are asked to.
    pub(super) fn continue_stopped(&mut self) {
        for index in std::mem::take(&mut self.stopped) {
            // If it fails, it is killed after the grace period.
            let _ = Child::signal(&self.children[index], Signal::SIGCONT);
        }
    }
}
