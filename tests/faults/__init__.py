"""Rows of the reliability contract that concern runs, and where each is tested.

1 (Ctrl-C, SIGTERM): test_stops. 2 (kill -9), 19 and 25 (two processes): test_ownership, test_campaign.
15 (values that are not finite): test_numbers. 20 (full disks, leftovers): test_disks. 26 (damaged states):
test_states. All together, at random moments: campaign.
"""
