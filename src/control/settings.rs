//! What people change about a project, on every surface.

use crate::failure::Failure;
use crate::ids::ProfileName;
use crate::state::{ProjectSettings, Weight};

/// What is to be so from now on; `None`: as it is.
#[derive(Debug, Clone, Default)]
pub struct SettingsChange {
    /// Its share beside other projects that have work; 1 is the usual one.
    pub weight: Option<f64>,
    /// How many of its agents may run at once; 0: as many as of any project.
    pub max_agents: Option<u32>,
    /// Tokens that it may use within 24 hours; 0: no limit.
    pub budget_tokens: Option<u64>,
    /// US dollars that it may use within 24 hours; 0: no limit.
    pub budget_usd: Option<f64>,
    /// The agent of tasks that name none.
    pub agent: Option<ProfileName>,
}

impl SettingsChange {
    /// Changes the settings; fails, before it changes any, for numbers that cannot be.
    pub fn apply(self, settings: &mut ProjectSettings) -> Result<(), Failure> {
        let weight = self.weight.map(|number| {
            Weight::from_number(number)
                .ok_or_else(|| Failure::user("a weight must be from 0.001 to 1000"))
        });
        let weight = weight.transpose()?;
        if self.budget_usd.is_some_and(|usd| !usd.is_finite() || usd < 0.0) {
            return Err(Failure::user("a budget in US dollars must be 0 or more; 0 is no limit"));
        }
        settings.weight = weight.unwrap_or(settings.weight);
        if let Some(most) = self.max_agents {
            settings.max_agents = Some(most).filter(|most| *most > 0);
        }
        if let Some(tokens) = self.budget_tokens {
            settings.budget.tokens = Some(tokens).filter(|tokens| *tokens > 0);
        }
        if let Some(usd) = self.budget_usd {
            settings.budget.usd = Some(usd).filter(|usd| *usd > 0.0);
        }
        settings.agent = self.agent.or(settings.agent.take());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_with_a_bad_number_changes_nothing() {
        let bad = [
            SettingsChange { weight: Some(0.0), budget_tokens: Some(5), ..Default::default() },
            SettingsChange { budget_usd: Some(-5.0), max_agents: Some(3), ..Default::default() },
        ];
        for change in bad {
            let mut settings = ProjectSettings::default();
            assert!(change.apply(&mut settings).is_err());
            assert_eq!(settings, ProjectSettings::default());
        }
    }

    #[test]
    fn zero_takes_a_limit_away_and_what_is_not_said_stays() {
        let mut settings = ProjectSettings::default();
        let all = SettingsChange {
            weight: Some(2.5),
            max_agents: Some(3),
            budget_tokens: Some(5),
            budget_usd: Some(1.5),
            agent: Some("claude".parse().unwrap()),
        };
        all.apply(&mut settings).unwrap();
        let (agents, agent) = (settings.max_agents, settings.agent.clone());
        let none =
            SettingsChange { budget_tokens: Some(0), budget_usd: Some(0.0), ..Default::default() };
        none.apply(&mut settings).unwrap();
        assert!(settings.budget.is_unlimited());
        assert_eq!(
            (settings.weight.number(), agents, agent),
            (2.5, settings.max_agents, settings.agent)
        );
    }
}
