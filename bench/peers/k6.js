// k6 as people use it for this: one WebSocket a virtual user, every message decoded, a Trend value for each.
// Reads its order from the environment (BENCH_URL, BENCH_USERS, BENCH_TOKENS, BENCH_OUT). Its clock has milliseconds.
import { WebSocket } from 'k6/experimental/websockets';
import { Trend } from 'k6/metrics';
import { SharedArray } from 'k6/data';

const people = new SharedArray('people', () => JSON.parse(open(__ENV.BENCH_TOKENS)));
const eventTime = new Trend('event_time', true);
const besides = new Trend('event_time_besides', true); // events outside of the window that is measured bear an instant of 2001

export const options = {
  scenarios: {
    chat: { executor: 'per-vu-iterations', vus: Number(__ENV.BENCH_USERS), iterations: 1, maxDuration: '30m' },
  },
  summaryTrendStats: ['count', 'med', 'p(99)', 'max'],
};

export default function () {
  const me = people[__VU - 1];
  const ws = new WebSocket(__ENV.BENCH_URL, null, { headers: { Authorization: `Bearer ${me.token}` } });
  let runs = 0;
  const ask = () => {
    runs += 1;
    const payload = { user_request: me.ask, thread_id: me.thread, run_id: `run-${me.name}-${runs}` };
    ws.send(JSON.stringify({ type: 'execute_agent', payload }));
  };
  ws.onmessage = (message) => {
    const now = Date.now();
    const event = JSON.parse(message.data);
    const sent = (event.timestamp || 0) * 1000;
    if (sent > 1.5e12) eventTime.add(now - sent);
    else besides.add(0);
    if (event.type === 'connection_established' || event.type === 'agent_completed') ask();
  };
}

export function handleSummary(data) {
  const measured = data.metrics.event_time ? data.metrics.event_time.values : { count: 0 };
  return { [__ENV.BENCH_OUT]: JSON.stringify(measured) };
}
