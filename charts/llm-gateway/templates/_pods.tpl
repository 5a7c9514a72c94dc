{{/* What all pods of the chart have: in one file, so that none is less confined than the others. */}}

{{- define "llm-gateway.image" -}}
{{- with .Values.image }}
{{- if .digest }}
{{- printf "%s@%s" .repository .digest }}
{{- else }}
{{- printf "%s:%s" .repository (default $.Chart.AppVersion .tag) }}
{{- end }}
{{- end }}
{{- end }}

{{/* The pod's own. Only the operator calls the API server, so only its pods, and the Job's, mount the token for that. */}}
{{- define "llm-gateway.pod" -}}
securityContext:
  {{- toYaml .Values.podSecurityContext | nindent 2 }}
{{- with .Values.imagePullSecrets }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "llm-gateway.container" -}}
image: {{ include "llm-gateway.image" . }}
imagePullPolicy: {{ .Values.image.pullPolicy }}
securityContext:
  {{- toYaml .Values.securityContext | nindent 2 }}
{{- end }}

{{/* Where pods go. Of `pods` (values of the component) and `selector` (its labels, as YAML). */}}
{{- define "llm-gateway.scheduling" -}}
topologySpreadConstraints:
{{- $spread := .pods.topologySpreadConstraints }}
{{- if not $spread }}
{{- $soft := dict "maxSkew" 1 "whenUnsatisfiable" "ScheduleAnyway" }}
{{- $spread = list
  (merge (dict "topologyKey" "topology.kubernetes.io/zone") $soft)
  (merge (dict "topologyKey" "kubernetes.io/hostname") $soft) }}
{{- end }}
{{- $own := dict "labelSelector" (dict "matchLabels" (fromYaml .selector)) "matchLabelKeys" (list "pod-template-hash") }}
{{- range $spread }}
- {{ mergeOverwrite (deepCopy $own) . | toYaml | nindent 2 | trim }}
{{- end }}
{{- with .pods.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .pods.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .pods.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .pods.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/* Both programs answer these on their admin port. */}}
{{- define "llm-gateway.probes" -}}
readinessProbe:
  httpGet: {path: /readyz, port: admin}
  periodSeconds: 2
  failureThreshold: 2
livenessProbe:
  httpGet: {path: /livez, port: admin}
  periodSeconds: 10
  failureThreshold: 3
{{- end }}
