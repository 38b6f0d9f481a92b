-- Answers with the file of public keys as it is now. Envoy's own file server is not finished yet (1.40).
function envoy_on_request(handle)
  local file = io.open(FILE, "rb")
  local text = file and file:read("*a")
  if file then
    file:close()
  end
  handle:respond({ [":status"] = text and "200" or "404" }, text or "")
end
