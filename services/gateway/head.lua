-- Answers HEAD as GET is answered, without a body (RFC 9110, 9.3.2): the transcoder knows GET alone.
-- Envoy's own replies to HEAD have no body already. Before this code: STREAMS, patterns of paths that stay a refusal.
function envoy_on_request(handle)
  local headers = handle:headers()
  local path = headers:get(":path"):match("^[^?]*"):gsub("/$", "")
  for _, stream in ipairs(STREAMS) do
    if path:find(stream) then return end
  end
  headers:replace(":method", "GET")
end

function envoy_on_response(handle)
  local body = handle:body()
  if not body then return end
  local length = body:length()
  body:setBytes("")
  handle:headers():replace("content-length", tostring(length))
end
