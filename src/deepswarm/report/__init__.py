"""The room of reports: folds of events into text. Pure; watching changes nothing."""
