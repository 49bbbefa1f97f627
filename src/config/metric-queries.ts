import { parser } from '@prometheus-io/lezer-promql';

/** Whether a text is PromQL by the official grammar. Placeholders such as `{{service}}` stand inside quoted strings. */
export function isPromql(text: string): boolean {
  const cursor = parser.parse(text).cursor();
  do if (cursor.type.isError) return false;
  while (cursor.next());
  return text.trim() !== '';
}

const windowPlace = /\{\{\s*window\s*\}\}/g;

/** A query template with this duration for its `{{window}}`; null when it has none. */
export const overWindow = (template: string, duration: string): string | null => {
  const filled = template.replace(windowPlace, duration);
  return filled === template ? null : filled;
};

/**
 * The golden signals of a service that are asked for unless the tree says otherwise; each only where its metrics exist. The
 * names are those of Prometheus' client libraries, OpenTelemetry's HTTP conventions (stable since 2023) and Istio.
 */
export const goldenSignals = [
  {
    name: 'errors',
    query:
      'sum(rate(http_requests_total{service="{{service}}",namespace="{{namespace}}",code=~"5.."}[5m])) / sum(rate(http_requests_total{service="{{service}}",namespace="{{namespace}}"}[5m]))',
  },
  {
    name: 'latency p95',
    query:
      'histogram_quantile(0.95, sum by (le) (rate(http_request_duration_seconds_bucket{service="{{service}}",namespace="{{namespace}}"}[5m])))',
  },
  {
    name: 'requests/s',
    query: 'sum(rate(http_requests_total{service="{{service}}",namespace="{{namespace}}"}[5m]))',
  },
  {
    name: 'latency p95 (otel)',
    query:
      'histogram_quantile(0.95, sum by (le) (rate(http_server_request_duration_seconds_bucket{service_name="{{service}}"}[5m])))',
  },
  {
    name: 'errors (istio)',
    query:
      'sum(rate(istio_requests_total{reporter="destination",destination_workload="{{service}}",destination_workload_namespace="{{namespace}}",response_code=~"5.."}[5m])) / sum(rate(istio_requests_total{reporter="destination",destination_workload="{{service}}",destination_workload_namespace="{{namespace}}"}[5m]))',
  },
  {
    name: 'cpu of limit',
    query:
      'max(sum by (pod) (rate(container_cpu_usage_seconds_total{container!="",namespace="{{namespace}}",pod=~"{{service}}-.+"}[5m])) / sum by (pod) (kube_pod_container_resource_limits{resource="cpu",namespace="{{namespace}}",pod=~"{{service}}-.+"}))',
  },
  {
    name: 'memory of limit',
    query:
      'max(sum by (pod) (container_memory_working_set_bytes{container!="",namespace="{{namespace}}",pod=~"{{service}}-.+"}) / sum by (pod) (kube_pod_container_resource_limits{resource="memory",namespace="{{namespace}}",pod=~"{{service}}-.+"}))',
  },
];

/** Who calls whom, as the usual meshes and tracing back ends count it; requests per second. */
export const topologyMappings = [
  {
    name: 'service graph of traces',
    query: 'sum by (client, server) (rate(traces_service_graph_request_total[5m]))',
    caller: 'client',
    callee: 'server',
  },
  {
    name: 'istio',
    query:
      'sum by (source_workload, source_workload_namespace, destination_workload, destination_workload_namespace) (rate(istio_requests_total{reporter="destination"}[5m]))',
    caller: 'source_workload',
    caller_namespace: 'source_workload_namespace',
    callee: 'destination_workload',
    callee_namespace: 'destination_workload_namespace',
  },
  {
    name: 'linkerd',
    query:
      'sum by (namespace, deployment, dst_namespace, dst_deployment) (rate(response_total{direction="outbound",dst_deployment!=""}[5m]))',
    caller: 'deployment',
    caller_namespace: 'namespace',
    callee: 'dst_deployment',
    callee_namespace: 'dst_namespace',
  },
];

/** Which pod runs where and what made it, as kube-state-metrics tells it: metrics and the labels to read. */
export const containmentPods = {
  metric: 'kube_pod_info',
  namespace: 'namespace',
  pod: 'pod',
  node: 'node',
  host_ip: 'host_ip',
  kind: 'created_by_kind',
  owner: 'created_by_name',
};

/** What owns what, innermost first: pods their ReplicaSet, StatefulSet, DaemonSet or Job, those their Deployment or CronJob. */
export const containmentOwners = [
  {
    child: 'Pod',
    metric: 'kube_pod_owner',
    namespace: 'namespace',
    name: 'pod',
    kind: 'owner_kind',
    owner: 'owner_name',
  },
  {
    child: 'ReplicaSet',
    metric: 'kube_replicaset_owner',
    namespace: 'namespace',
    name: 'replicaset',
    kind: 'owner_kind',
    owner: 'owner_name',
  },
  {
    child: 'Job',
    metric: 'kube_job_owner',
    namespace: 'namespace',
    name: 'job_name',
    kind: 'owner_kind',
    owner: 'owner_name',
  },
];

/** Jobs that scrape others: the `service` label of their alerts is their own. */
export const containmentExporters = ['kube-state-metrics', 'kubelet', 'cadvisor'];
