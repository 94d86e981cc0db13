"""Reports, figures' data and exports of runs, from what a run's folder holds: nothing here trains, and nothing here needs the network."""
