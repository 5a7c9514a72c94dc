// For the kinds that its Prometheus operator defines; nothing of it is built.
module llmgateway.dev/monitoring

go 1.24.0

require github.com/prometheus-operator/prometheus-operator v0.85.0
