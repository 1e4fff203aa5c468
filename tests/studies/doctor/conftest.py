"""The programs with planted defects are run by the tests, each in processes of its own, and never imported."""

collect_ignore_glob = ["clean/*", "defects/*", "holdout/*", "on_gpu/*"]
