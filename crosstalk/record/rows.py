"""The schema of a record: its tables and their columns.

Every row that a load test writes is one of these. All instants (`*_ns` that are not durations) are Unix nanoseconds
on the *worker's monotonic clock*, tied to the wall clock once when the worker starts; so differences within a worker
are exact and the axes of several workers can share a page. The tie is sampled again in `health.wall_drift_ns`.
Durations are nanoseconds too and say so: `*_time_ns`, `*_gap_ns`, `*_lag_ns`.

A column whose type ends in "?" may be null: the thing did not happen (no first event), or was not observed.
"""

from __future__ import annotations

SCHEMA_VERSION = 4

#: stands for null where a column of whole numbers is an array; the same as in checks/columns.py
MISSING = -(2**63)

#: table → column → type ("int", "float", "str", "bool", each possibly with "?")
TABLES: dict[str, dict[str, str]] = {
    # One row per WebSocket, written when it ended (or at the end of the load test, while open: `closed_by` "us").
    "connections": {
        "worker": "str",
        "connection": "str",  # unique in the load test: "<worker>-c<n>"
        "purpose": "str",  # "user": a simulated person's; "bad_token": must be rejected; "probe": thrown away
        "account": "str",
        "user_class": "str",
        "url": "str",  # without query: a token may travel there
        "peer": "str",  # address:port the bytes really went to; "" when TCP never connected
        "transport": "str",  # how the token travelled: header | subprotocol | query | message
        "trace_id": "str",  # of the traceparent on the upgrade
        "begun_ns": "int",  # start of the connect
        "connected_ns": "int?",  # TCP (and TLS) done
        "upgraded_ns": "int?",  # HTTP 101 in hand
        "ready_ns": "int?",  # welcome in hand
        "ended_ns": "int?",
        "outcome": "str",  # ready | refused | failed | cut (stopped by us), of the way up to ready
        "stage": "str",  # where it ended: resolve connect tls upgrade authenticate ready open
        "http_status": "int?",  # of the upgrade's answer
        "close_code": "int?",  # as received; 1006 when the transport died without a close frame
        "close_reason": "str",
        "closed_by": "str",  # us | peer | transport | protocol (its run has ended) | "" while never opened
        "error": "str",  # what was expected, what came
        "identity": "str",  # full | prefix | mismatch | unknown: how well the peer named the token's subject
        "identity_seen": "str",  # the name the peer used
        "probe_time_min_ns": "int?",  # shortest round trip of a ping frame
        "probe_time_median_ns": "int?",
        "bytes_in": "int",
        "bytes_out": "int",
        "frames_in": "int",
        "frames_out": "int",
        "events_in": "int",  # decoded frames that concern a run
    },
    # One row per run, written when the run's outcome is known.
    "runs": {
        "worker": "str",
        "run": "str",  # wire run_id
        "connection": "str",
        "account": "str",
        "user_class": "str",
        "thread": "str",
        "turn": "int",  # 1-based within the thread
        "prompt": "str",  # family name in prompts.toml
        "trace_id": "str",
        "intended_ns": "int",
        "sent_ns": "int",
        "accepted_ns": "int?",  # first frame that acknowledges the turn
        "first_event_ns": "int?",
        "first_chunk_ns": "int?",
        "end_ns": "int?",  # arrival of the end event; null when there was none
        "outcome": "str",  # ok agent_error timeout disconnected refused violated cut
        "signature": "str",  # "" for ok; else stage and what happened, groupable: "stream: no end within 8 s"
        "events": "int",
        "chunks": "int",
        "tools_started": "int",
        "tools_ok": "int",
        "tools_failed": "int",
        "handoffs": "int",
        "retries": "int",  # events that came again, and said so
        "handoff_time_max_ns": "int?",
        "stall_max_ns": "int?",  # largest gap between any two events of the run
        "text_bytes": "int",
        "bytes_in": "int",
        "canaries_planted": "int",
        "canaries_back": "int",  # distinct own canaries of this turn seen again
        "nonce_back": "bool",  # the run's own nonce came back: something was really run
        "waited": "bool",  # its time had passed before its user was free and connected
        "warm_up": "bool",  # started before all users were there, or slow on purpose: its times are not judged
        "cancelled_ns": "int?",  # when its user asked for its end
    },
    # One row per decoded frame that concerns a run, in order of arrival.
    "events": {
        "worker": "str",
        "run": "str",
        "connection": "str",
        "account": "str",
        "n": "int",  # 1-based within the run
        "kind": "str",  # crosstalk.wire.event kinds
        "agent": "str",
        "tool": "str",
        "intended_ns": "int",  # of the run
        "sent_ns": "int",  # of the run
        "arrived_ns": "int",  # when the kernel had the bytes
        "arrived_after_ns": "int",  # it came later than this; equals `arrived_ns` where that is exact
        "received_ns": "int",  # when the frame was in hand, before it was decoded
        "exact": "bool",  # `arrived_ns` belongs to this very frame, else it is an upper bound
        "gap_ns": "int?",  # since the event before it in the run
        "chunk_gap_ns": "int?",  # chunks only: since the previous chunk of the run
        "tool_time_ns": "int?",  # tool_completed only: since its tool_executing
        "bytes": "int",
    },
    # One row per step of a journey, and one for the journey as a whole (`step` ""), each written when it was over.
    "steps": {
        "worker": "str",
        "journey": "str",  # unique in the load test: "<worker>-<account>-j<n>"
        "family": "str",  # a name of checks/families.py
        "step": "str",  # "" for the journey as a whole
        "account": "str",
        "user_class": "str",
        "begun_ns": "int",
        "time_ns": "int",  # from its begin to its end
        "outcome": "str",  # ok | failed | cut (stopped by us) | not_offered (the target has no such thing)
        "expected": "str",  # of a failed one: what should have been; of one that is not offered: why not
        "came": "str",
        "run": "str",  # of its own run, "" where there is none
        "connection": "str",
        "trace_id": "str",
    },
    # Whole frames, only of runs kept as evidence.
    "frames": {
        "worker": "str",
        "connection": "str",
        "account": "str",
        "run": "str",  # "" when the frame names none
        "direction": "str",  # in | out
        "kind": "str",
        "arrived_ns": "int",  # out: when it was written
        "received_ns": "int",
        "evidence": "str",  # why it is kept: violation | failure | sample
        "body": "str",  # redacted of tokens; cut at 4 KiB
    },
    # One row per distinct violation and place; `count` repeats of the same are folded in.
    "violations": {
        "worker": "str",
        "violation": "str",  # unique in the load test: "<worker>-v<n>"
        "judgement": "str",  # delivery | isolation | identity | harness
        "name": "str",  # what it is called everywhere: missing, duplicate, wrong_socket, foreign_content, …
        "channel": "int",  # isolation channel number; 0 for the others
        "scope": "str",  # isolation: cross_user cross_thread cross_run other_load_test phantom unverified; else ""
        "observer": "str",  # account that saw it
        "observer_connection": "str",
        "owner": "str",  # account it belongs to; "" when not known
        "run": "str",  # the observer's run, "" when none
        "owner_run": "str",
        "event_kind": "str",
        "site": "str",  # where the owner planted it: prompt, context, profile, run_id, thread_id, user_id, …
        "field": "str",  # path in the frame where it surfaced: data.result.text
        "decode": "str",  # how it was read: plain, case, partial, …
        "expected": "str",
        "came": "str",
        "frame": "str",  # the frame that showed it; redacted, cut at 4 KiB
        "planted_ns": "int?",
        "surfaced_ns": "int",
        "trace_id": "str",
        "count": "int",
    },
    # Each process's own figures, about once a second.
    "health": {
        "worker": "str",
        "role": "str",  # worker | master | local
        "at_ns": "int",
        "cpu_percent": "float",
        "rss_bytes": "int",
        "open_files": "int",  # descriptors in use
        "open_files_limit": "int",  # descriptors that it may have; 0: as many as it likes
        "users": "int",
        "connections": "int",
        "hub_lag_max_ns": "int",  # how late a timer of this process's loop fired, worst since the last row
        # what happened while it was so late: processor time of the loop's thread and of the others, waiting for a
        # processor (null: this system does not say), garbage collections
        "hub_lag_loop_ns": "int",
        "hub_lag_threads_ns": "int",
        "hub_lag_run_delay_ns": "int?",
        "hub_lag_gc_ns": "int",
        "run_delay_ns": "int?",  # its loop could run, and waited for a processor, since the last row
        "gc_pauses": "int",  # garbage collections since the last row
        "gc_pause_total_ns": "int",
        "gc_pause_max_ns": "int",
        "receive_lag_p50_ns": "int",  # received - arrived, since the last row
        "receive_lag_p99_ns": "int",
        "receive_lag_max_ns": "int",
        "reads": "int",  # reads since the last row (n of the lags)
        "schedule_lag_max_ns": "int",  # sent - intended of turns that did not wait, worst since the last row
        "events_received": "int",  # cumulative: counted where frames are split
        "events_checked": "int",  # cumulative: counted where the checks have spoken
        "events_recorded": "int",  # cumulative: rows handed to the batches
        "wall_drift_ns": "int",  # wall clock minus our tied clock, now
        "wall_step_max_ns": "int",  # largest step of the wall clock since the last row, forward or back; 0: none
    },
    # Memory over time: what the target says of its own, and with `--memory-trace` what each process's heap holds, of
    # what was asked for since the load test began.
    "memory": {
        "worker": "str",  # of the target: the process that asked it
        "at_ns": "int",
        "group": "str",  # a name of checks/memory_groups.py: whose it is
        "file": "str",  # that asked for it; "others": files of the group that hold little; of the target: its own word
        "bytes": "int",
        "blocks": "int",
    },
    # Isolation exposure per worker and channel: cumulative rows, the last one of each counts.
    "exposure": {
        "worker": "str",
        "channel": "int",
        "opportunities": "int",  # checked observations while another user's canary was live
        "observations": "int",  # all checked observations
        "controls_expected": "int",  # positive control: own canaries that should have come back
        "controls_seen": "int",
        "phantoms_live": "int",  # canaries made and never sent
        "skipped_bytes": "int",  # received and not searched deeply, because there was too much of it
    },
    # Ids that the server chose and told to an account: whose they are, for workers that never saw them told.
    "ids": {
        "worker": "str",
        "account": "str",
        "id": "str",
    },
}

Row = tuple[object, ...]
COLUMNS: dict[str, tuple[str, ...]] = {table: tuple(columns) for table, columns in TABLES.items()}
