"""Turn a plan and its store into leaderboards, figures and pages."""
